package dev.gyre.quant.linalg;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import java.util.Arrays;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.EigenDecomposition;

/// The r leading singular triplets of a weight A (n,d): `A ~ U diag(S) V^T`.
///
/// A block of l > r random rows is pushed towards the principal subspace, made orthonormal and projected on
/// (Halko, Martinsson and Tropp, arXiv 0909.4061), again and again until the residual holds. The push is not a plain
/// power of `A^T A` but a Chebyshev polynomial in it that keeps `[0, s_l^2]` below 1 and grows fastest above (Zhou and
/// Saad, 2007): of m steps it makes what a power needs about `m^2` for, which is what the flat spectra of weights ask
/// for. Every product with A runs on a [Backend] in F32; bases are kept in double.
///
/// Signs are fixed: the entry of largest magnitude in each row of V^T is positive (the first of equals). Same weight,
/// options, backend and thread count: same bits.
///
/// | name | shape | note |
/// |---|---|---|
/// | `u` | `(n, r)` | columns orthonormal |
/// | `s` | `(r)` | descending |
/// | `vt` | `(r, d)` | rows orthonormal |
///
/// Cost: `2 l n d` FLOP a product on the backend, and per cycle `8 l^2 (n + d)` in double and one dense eigenproblem of
/// size l. A Gaussian 2048 x 2048 matrix, as flat a spectrum as a weight can have, takes 68 products for r = 64,
/// l = 96 and a residual of 1e-5.
public final class TruncatedSvd {
    /// Largest growth of a row against the damped interval within one cycle: F32 leaves noise of 1e-7 of a row in
    /// every direction, and the noise along a leading one grows this much more than the row itself.
    private static final double GROWTH = 1e6;
    private static final int MAX_DEGREE = 50;
    /// Ratio of rows' new parts, the smallest to the largest, from which a product with `A^T A` leaves F32's noise of 1e-7
    /// far below each.
    private static final double FLAT = 1e-2;
    /// Elements of a matrix that may be in memory twice in double.
    private static final int EXACT_SIZE = 1 << 22;

    private final int n;
    private final int d;
    private final int r;
    private final float[] u;
    private final double[] s;
    private final float[] vt;
    private final double norm;
    private final double next;
    private final double residual;
    private final double tolerance;
    private final int products;

    private TruncatedSvd(Triplets t, int n, int d, float[] u, float[] vt, double norm, double residual,
            double tolerance, int products) {
        this.n = n;
        this.d = d;
        this.r = t.s.length;
        this.s = t.s;
        this.next = t.next;
        this.u = u;
        this.vt = vt;
        this.norm = norm;
        this.residual = residual;
        this.tolerance = tolerance;
        this.products = products;
    }

    /// How far to go.
    ///
    /// @param tolerance bound that [#residual] shall meet. F32 products end at about 1e-7
    /// @param oversampling rows beyond r: more of them cost more a step and save steps
    /// @param maxCycles pushes before giving up on the tolerance
    /// @param exactUpTo matrices whose smaller side is no larger are decomposed whole, in double
    /// @param seed of the random start
    public record Options(double tolerance, int oversampling, int maxCycles, int exactUpTo, long seed) {
        public static Options defaults(int r, long seed) {
            return new Options(1e-5, Math.max(16, r / 2), 20, 256, seed);
        }
    }

    /// Told after every cycle.
    @FunctionalInterface
    public interface Progress {
        /// @param products products with A so far
        /// @param residual as in [TruncatedSvd#residual]
        void step(int products, double residual);
    }

    /// Unrounded factors as rows: u (r,n), v (r,d); `next` estimates the singular value after the last, NaN unknown.
    private record Triplets(double[][] u, double[] s, double[][] v, double next) {
        Triplets leading(int r, double nextIfAll) {
            return new Triplets(Arrays.copyOf(u, r), Arrays.copyOf(s, r), Arrays.copyOf(v, r),
                    r < s.length ? s[r] : nextIfAll);
        }
    }

    /// The r leading triplets of `a`, row-major (n,d).
    ///
    /// A result that misses the tolerance after [Options#maxCycles], or because F32 ends before it, is returned all
    /// the same; [#converged] tells.
    public static TruncatedSvd leading(HostData a, int n, int d, int r, Options options, Backend backend,
            Progress progress) {
        double norm = check(a, n, d, r);
        int side = Math.min(n, d);
        if (side <= options.exactUpTo && (long) n * d <= EXACT_SIZE)
            return exact(a, n, d, r, norm, options.tolerance);
        int l = Math.min(side, r + Math.max(1, options.oversampling));
        try (WeightProducts products = new WeightProducts(a, n, d, l, backend)) {
            Triplets t = iterate(products, d, r, l, options, norm, progress).leading(r, 0);
            return rounded(t, n, d, norm, options.tolerance, products);
        }
    }

    /// PEFT's `psoft_svd: lowrank`: a random range of exactly r rows, `niter` plain power steps, one projection from the
    /// left. Bases are made orthonormal as often as F32 asks for: after every product where the singular values spread, else
    /// once a step. No tolerance is pursued; [#residual] says how close the result is. The values are not PyTorch's, whose random
    /// generator is its own.
    public static TruncatedSvd lowrank(HostData a, int n, int d, int r, int niter, long seed, Backend backend) {
        double norm = check(a, n, d, r);
        try (WeightProducts products = new WeightProducts(a, n, d, r, backend)) {
            double[][] x = Rows.gaussian(r, d, seed);
            Rows.evenOut(x);
            double spread = 0;
            for (int i = 0; i < niter; i++) {
                if (spread < FLAT) {
                    double[][] y = products.forward(x);
                    Rows.evenOut(y);
                    x = products.backward(y);
                } else {
                    x = products.gram(x);
                }
                spread = Rows.evenOut(x);
            }
            double[][] y = products.forward(x);
            Rows.orthonormalize(y);
            double[][] v = products.backward(y);
            Triplets t = decompose(Rows.orthonormalize(v), y, v);
            double next = r == Math.min(n, d) ? 0 : Double.NaN;
            return rounded(new Triplets(t.v, t.s, t.u, next), n, d, norm, Double.POSITIVE_INFINITY, products);
        }
    }

    private static Triplets iterate(WeightProducts products, int d, int r, int l, Options options, double norm,
            Progress progress) {
        double target = options.tolerance * norm;
        double[][] x = Rows.gaussian(l, d, options.seed);
        // Two plain steps, so that the first Ritz values say where the spectrum ends.
        for (int i = 0; i < 2; i++) {
            Rows.orthonormalize(x);
            x = products.gram(x);
        }
        double previous = Double.POSITIVE_INFINITY;
        int stuck = 0;
        for (int cycle = 0;; cycle++) {
            Rows.orthonormalize(x);
            Triplets t = project(products, x);
            double[][] z = products.backward(t.u);
            double[] each = new double[l];
            Rows.forEach(0, l, d, i -> each[i] = distance(z[i], t.s[i], t.v[i]));
            double sum = 0;
            for (int i = 0; i < r; i++)
                sum += each[i] * each[i];
            double residual = Math.sqrt(sum);
            progress.step(products.count(), norm == 0 ? 0 : residual / norm);
            stuck = residual > 0.7 * previous ? stuck + 1 : 0;
            // A margin of 0.9: rounding of the returned factors to F32 comes on top.
            if (residual <= 0.9 * target || cycle + 1 >= options.maxCycles || stuck == 2)
                return t;
            previous = residual;
            int settled = 0;
            while (settled < r - 1 && each[settled] <= 0.5 * target / Math.sqrt(r))
                settled++;
            x = filter(products, t, z, settled, r, residual / target);
        }
    }

    /// Rayleigh-Ritz: the best triplets with right vectors in the span of x (l,d), which is orthonormal.
    private static Triplets project(WeightProducts products, double[][] x) {
        double[][] y = products.forward(x);
        double[][] l = Rows.orthonormalize(y);
        return decompose(l, x, y);
    }

    /// Triplets of the matrix `M = X^T L Y` whose bases x and y are orthonormal rows: with `L = P S W^T` they are the
    /// rows of `P^T X`, S, and the rows of `W^T Y`.
    ///
    /// P comes from the eigenvectors of `L L^T`, which Commons Math finds many times faster than an SVD, and `S W^T`
    /// from making the rows of `P^T L` orthonormal from the largest on. That leaves an error of about
    /// `1e-16 s_1^2 / s_i` in triplet i, far below F32 for every triplet that F32 can tell from 0.
    private static Triplets decompose(double[][] l, double[][] x, double[][] y) {
        int count = l.length;
        double[][] square = new double[count][count];
        for (int i = 0; i < count; i++)
            for (int j = 0; j <= i; j++)
                square[i][j] = square[j][i] = Rows.dot(l[i], l[j]);
        double[][] p = new EigenDecomposition(new Array2DRowRealMatrix(square, false)).getV().getData();
        double[][] w = Rows.combine(p, l);
        double[][] triangle = Rows.orthonormalize(w);
        double[] s = new double[count];
        for (int i = 0; i < count; i++)
            s[i] = i == 0 ? triangle[i][i] : Math.min(triangle[i][i], s[i - 1]);
        return new Triplets(Rows.combine(transposed(w), y), s, Rows.combine(p, x), Double.NaN);
    }

    private static double[][] transposed(double[][] a) {
        double[][] t = new double[a[0].length][a.length];
        for (int i = 0; i < t.length; i++)
            for (int j = 0; j < a.length; j++)
                t[i][j] = a[j][i];
        return t;
    }

    /// Applies `T_m((2/b) A^T A - I)`, `b = s_l^2`, to the Ritz rows from `settled` on; z = `U A`, hence
    /// `A^T A v = s z`. Rows before stay, and are projected out of the others where these would otherwise drown in
    /// their amplified noise.
    private static double[][] filter(WeightProducts products, Triplets t, double[][] z, int settled, int r,
            double missing) {
        int l = t.s.length;
        int active = l - settled;
        double top = t.s[settled] * t.s[settled];
        double b = Math.max(t.s[l - 1] * t.s[l - 1], 1e-6 * top);
        int degree = (int) Math.clamp(Math.min(Math.log(2 * GROWTH) / rate(top, b),
                Math.ceil(Math.log(8 * Math.max(1, missing)) / rate(t.s[r - 1] * t.s[r - 1], b))), 1, MAX_DEGREE);
        int hot = 0;
        while (hot < settled && degree * rate(t.s[hot] * t.s[hot], b) > Math.log(2 * GROWTH))
            hot++;
        double[][] before = Rows.copy(Arrays.copyOfRange(t.v, settled, l));
        double[][] now = Rows.copy(Arrays.copyOfRange(z, settled, l));
        for (int i = 0; i < active; i++) {
            Rows.scale(2 * t.s[settled + i] / b, now[i]);
            Rows.axpy(-1, before[i], now[i]);
        }
        deflate(t.v, hot, now);
        for (int k = 1; k < degree; k++) {
            double[][] next = products.gram(now);
            double[][] x = now;
            double[][] old = before;
            Rows.forEach(0, active, 3L * next[0].length, i -> {
                Rows.scale(4 / b, next[i]);
                Rows.axpy(-2, x[i], next[i]);
                Rows.axpy(-1, old[i], next[i]);
            });
            deflate(t.v, hot, next);
            before = now;
            now = next;
        }
        double[][] out = Arrays.copyOf(t.v, l);
        System.arraycopy(now, 0, out, settled, active);
        return out;
    }

    /// Growth per degree of `T_m` at an eigenvalue above the damped interval `[0, b]`: `T_m ~ exp(m rate) / 2`.
    private static double rate(double eigenvalue, double b) {
        double t = Math.max(1 + 1e-9, 2 * eigenvalue / b - 1);
        return Math.log(t + Math.sqrt(t * t - 1));
    }

    private static void deflate(double[][] v, int hot, double[][] rows) {
        if (hot > 0)
            Rows.forEach(0, rows.length, 2L * hot * v[0].length, i -> {
                for (int j = 0; j < hot; j++)
                    Rows.axpy(-Rows.dot(rows[i], v[j]), v[j], rows[i]);
            });
    }

    /// All of a small matrix in double: Gram-Schmidt along the longer side leaves a triangle for Commons Math.
    private static TruncatedSvd exact(HostData a, int n, int d, int r, double norm, double tolerance) {
        float[] w = a.decode(0, n * d);
        boolean wide = n <= d;
        double[][] rows = new double[wide ? n : d][wide ? d : n];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < d; j++)
                rows[wide ? i : j][wide ? j : i] = w[i * d + j];
        double[][] identity = new double[rows.length][rows.length];
        for (int i = 0; i < rows.length; i++)
            identity[i][i] = 1;
        double[][] l = Rows.orthonormalize(rows);
        Triplets all = decompose(l, identity, rows);
        Triplets t = (wide ? new Triplets(all.v, all.s, all.u, Double.NaN) : all).leading(r, 0);
        float[] vt = new float[r * d];
        float[] u = new float[n * r];
        round(t, u, vt);
        double[] parts = new double[r];
        Rows.forEach(0, r, 2L * n * d, i -> {
            double[] av = new double[n];
            double[] ua = new double[d];
            for (int p = 0; p < n; p++)
                for (int q = 0; q < d; q++) {
                    av[p] += (double) w[p * d + q] * t.v[i][q];
                    ua[q] += (double) w[p * d + q] * t.u[i][p];
                }
            double right = distance(av, t.s[i], t.u[i]);
            double left = distance(ua, t.s[i], t.v[i]);
            parts[i] = right * right + left * left;
        });
        double residual = Math.sqrt(Arrays.stream(parts).sum());
        return new TruncatedSvd(t, n, d, u, vt, norm, norm == 0 ? 0 : residual / norm, tolerance, 0);
    }

    /// Rounds to F32, fixes signs, and measures what is returned rather than what was computed.
    private static TruncatedSvd rounded(Triplets t, int n, int d, double norm, double tolerance,
            WeightProducts products) {
        int r = t.s.length;
        float[] vt = new float[r * d];
        float[] u = new float[n * r];
        round(t, u, vt);
        double[][] av = products.forward(t.v);
        double[][] ua = products.backward(t.u);
        double sum = 0;
        for (int i = 0; i < r; i++) {
            double right = distance(av[i], t.s[i], t.u[i]);
            double left = distance(ua[i], t.s[i], t.v[i]);
            sum += right * right + left * left;
        }
        double residual = norm == 0 ? 0 : Math.sqrt(sum) / norm;
        return new TruncatedSvd(t, n, d, u, vt, norm, residual, tolerance, products.count());
    }

    /// Fills u (n,r) and vt (r,d), and leaves in `t` the rounded values with their signs.
    private static void round(Triplets t, float[] u, float[] vt) {
        int r = t.s.length;
        for (int i = 0; i < r; i++) {
            double[] v = t.v[i];
            int largest = 0;
            for (int j = 1; j < v.length; j++)
                if (Math.abs((float) v[j]) > Math.abs((float) v[largest]))
                    largest = j;
            double sign = v[largest] < 0 ? -1 : 1;
            for (int j = 0; j < v.length; j++)
                v[j] = vt[i * v.length + j] = (float) (sign * v[j]);
            for (int j = 0; j < t.u[i].length; j++)
                t.u[i][j] = u[j * r + i] = (float) (sign * t.u[i][j]);
        }
    }

    /// `||a - s b||`
    private static double distance(double[] a, double s, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            double diff = a[i] - s * b[i];
            sum += diff * diff;
        }
        return Math.sqrt(sum);
    }

    /// Checks sizes and values; returns `||A||_F`.
    private static double check(HostData a, int n, int d, int r) {
        if (a.size() != (long) n * d)
            throw new InputException("a weight of shape (" + n + "," + d + ") has " + (long) n * d
                    + " elements, and this one " + a.size());
        if (r < 1 || r > Math.min(n, d))
            throw new InputException("rank " + r + " is not in 1.." + Math.min(n, d)
                    + ", the rank a weight of shape (" + n + "," + d + ") can have");
        double[] parts = new double[n];
        Rows.forEach(0, n, d, i -> {
            for (float v : a.decode((long) i * d, d))
                parts[i] += (double) v * v;
        });
        double norm = Math.sqrt(Arrays.stream(parts).sum());
        if (!Double.isFinite(norm))
            throw new InputException(
                    "a weight of shape (" + n + "," + d + ") contains NaN or infinity; is the file damaged?");
        return norm;
    }

    public int n() {
        return n;
    }

    public int d() {
        return d;
    }

    public int r() {
        return r;
    }

    /// Left vectors, (n,r) row-major; a fresh array.
    public float[] u() {
        return u.clone();
    }

    /// Singular values, descending; a fresh array.
    public double[] s() {
        return s.clone();
    }

    /// Right vectors as rows, (r,d); a fresh array.
    public float[] vt() {
        return vt.clone();
    }

    /// `sqrt(||A V - U S||_F^2 + ||A^T U - V S||_F^2) / ||A||_F` of the factors as returned, rounding included. Then
    /// every `s_i` is within `residual ||A||_F` of a singular value of A (Weyl, on the symmetric matrix made of A and
    /// A^T).
    public double residual() {
        return residual;
    }

    /// Whether [#residual] meets the tolerance asked for.
    public boolean converged() {
        return residual <= tolerance;
    }

    /// Estimate of the singular value after the last; 0 when there is none, NaN when unknown ([#lowrank]). For the
    /// iteration it is a Ritz value, hence a little low.
    public double nextSingularValue() {
        return next;
    }

    /// `(s_r - s_(r+1)) / s_r`: near 0, the subspace is ill-defined.
    public double gap() {
        return s[r - 1] == 0 ? 0 : (s[r - 1] - next) / s[r - 1];
    }

    /// Estimated bound of the sine of the largest angle between the returned subspace and the true one (Wedin):
    /// `residual ||A||_F / (s_r - s_(r+1))`, at most 1. An estimate because `s_(r+1)` is one; NaN when that is unknown.
    public double angleBound() {
        double gap = s[r - 1] - next;
        return Double.isNaN(gap) ? gap : gap > 0 ? Math.min(1, residual * norm / gap) : 1;
    }

    /// Part of `||A||_F^2` that the r triplets hold.
    public double captured() {
        return norm == 0 ? 1 : Arrays.stream(s).map(v -> v * v).sum() / (norm * norm);
    }

    /// Products of A with the block that were needed.
    public int products() {
        return products;
    }
}
