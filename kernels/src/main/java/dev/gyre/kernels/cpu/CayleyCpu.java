package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.Orthogonal;
import java.util.Arrays;

/// Rotations from skew-symmetric blocks and their gradients, COFT's projection, dropout of blocks. Items own blocks;
/// the powers that a gradient needs are computed again in scratch memory.
///
/// The polynomial forms and Newton-Schulz run in floats by [SimdTiles#product]. The exact Cayley maps run in double:
/// since the symmetric part of `I -+ Q` is I, all pivots are at least 1 and elimination needs no pivoting; and
/// `(I + Q)(I - Q)^-1 = 2 (I - Q)^-1 - I`.
final class CayleyCpu {
    private CayleyCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, CayleyOps op, Operands of) {
        return switch (op) {
            case CayleyOps.Cayley o -> cayley(pool, simd, o, of.at(o.v()), of.at(o.r()));
            case CayleyOps.CayleyGrad o -> cayleyGrad(pool, simd, o, of.at(o.v()), of.at(o.dR()), of.at(o.dV()));
            case CayleyOps.CoftProject o -> coftProject(o, of.at(o.v()));
            case CayleyOps.MaskBlocks o -> maskBlocks(o, of.at(o.r()), of.at(o.mask()));
        };
    }

    interface Block {
        void run(int block, int worker);
    }

    /// Blocks `0..blocks-1`, several small ones to an item.
    private static Runnable blocks(ThreadPool pool, int blocks, int b, Block block) {
        int some = Math.max(1, 4096 / Math.max(1, b * b));
        ThreadPool.Body body = (item, worker) -> {
            for (int i = item * some; i < Math.min(blocks, (item + 1) * some); i++)
                block.run(i, worker);
        };
        return () -> pool.forEach((blocks + some - 1) / some, body);
    }

    static Runnable cayley(ThreadPool pool, Simd simd, CayleyOps.Cayley op, Operand v, Operand r) {
        int b = op.b();
        Orthogonal map = op.map();
        return blocks(pool, op.blocks(), b, (i, worker) -> {
            int vo = v.off() + i * map.stored(b);
            int ro = r.off() + i * b * b;
            switch (map.form()) {
                case NEUMANN, NEUMANN_LEGACY -> neumann(pool, simd, map, v.f(), vo, b, r.f(), ro, worker);
                case NEWTON_SCHULZ -> newtonSchulz(pool, simd, map, v.f(), vo, b, r.f(), ro, worker);
                case CAYLEY_PLUS, CAYLEY_MINUS -> {
                    double[][] n = inverse(pool, map, v.f(), vo, b, worker);
                    for (int j = 0; j < b; j++)
                        for (int k = 0; k < b; k++)
                            r.f()[ro + j * b + k] = (float) (2 * n[j][k] - (j == k ? 1 : 0));
                }
            }
        });
    }

    static Runnable cayleyGrad(ThreadPool pool, Simd simd, CayleyOps.CayleyGrad op, Operand v, Operand dR, Operand dV) {
        int b = op.b();
        int bb = b * b;
        Orthogonal map = op.map();
        return blocks(pool, op.blocks(), b, (i, worker) -> {
            int vo = v.off() + i * map.stored(b);
            int go = dR.off() + i * bb;
            float[] dQ = pool.scratch(worker, 1, bb);
            boolean any = switch (map.form()) {
                case NEUMANN, NEUMANN_LEGACY -> neumannGrad(pool, simd, map, v.f(), vo, b, dR.f(), go, dQ, worker);
                case NEWTON_SCHULZ -> newtonSchulzGrad(pool, simd, map, v.f(), vo, b, dR.f(), go, dQ, worker);
                case CAYLEY_PLUS, CAYLEY_MINUS -> cayleyGrad(pool, map, v.f(), vo, b, dR.f(), go, dQ, worker);
            };
            if (any)
                addSkew(pool, map, v.f(), vo, b, dQ, dV.f(), dV.off() + i * map.stored(b), worker);
        });
    }

    /// The skew matrix of one stored block, scaled down to [Orthogonal#maxNorm] where that is set; returns the scale.
    private static float skew(Orthogonal map, float[] v, int vo, int b, float[] q, int qo) {
        double norm = 0;
        int k = vo;
        for (int i = 0; i < b; i++) {
            q[qo + i * b + i] = 0f;
            for (int j = i + 1; j < b; j++) {
                float x = map.skew() == Orthogonal.Skew.PACKED ? v[k++]
                        : (v[vo + i * b + j] - v[vo + j * b + i]) / 2;
                q[qo + i * b + j] = x;
                q[qo + j * b + i] = -x;
                norm += 2.0 * x * x;
            }
        }
        norm = Math.sqrt(norm);
        float maxNorm = (float) map.maxNorm();
        if (maxNorm <= 0 || !(norm > maxNorm))
            return 1f;
        float scale = (float) (maxNorm / (norm + 1e-12));
        for (int i = qo; i < qo + b * b; i++)
            q[i] *= scale;
        return scale;
    }

    /// Adds to the stored block the gradient dQ of the (scaled) skew matrix: through the scaling
    /// `k (D - Q <Q,D> / (q (q + 1e-12)))`, Q and its norm q before scaling, then through the storage.
    private static void addSkew(ThreadPool pool, Orthogonal map, float[] v, int vo, int b, float[] dQ, float[] dV,
            int dvo, int worker) {
        double inner = 0;
        double scale = 1;
        float[] q = pool.scratch(worker, 2, b * b);
        float k = skew(map, v, vo, b, q, 0);
        if (k != 1f) {
            double norm = 0;
            for (int i = 0; i < b * b; i++) {
                double x = q[i] / (double) k;
                norm += x * x;
                inner += x * dQ[i];
            }
            norm = Math.sqrt(norm);
            inner /= norm * (norm + 1e-12) * k;
            scale = k;
        }
        int at = dvo;
        for (int i = 0; i < b; i++)
            for (int j = i + 1; j < b; j++) {
                double up = dQ[i * b + j] - q[i * b + j] * inner;
                double low = dQ[j * b + i] - q[j * b + i] * inner;
                float g = (float) (scale * (up - low));
                if (map.skew() == Orthogonal.Skew.PACKED) {
                    dV[at++] += g;
                } else {
                    dV[dvo + i * b + j] += g / 2;
                    dV[dvo + j * b + i] -= g / 2;
                }
            }
    }

    /// Products of b x b matrices in one scratch array, followed by the right operand in panels.
    private static final class Squares {
        final ThreadPool pool;
        final Simd simd;
        final int b;
        final int bb;
        final int panels;
        final float[] w;
        final float[] tile;

        /// `count` matrices, numbered from 0.
        Squares(ThreadPool pool, Simd simd, int b, int count, int worker) {
            this.pool = pool;
            this.simd = simd;
            this.b = b;
            this.bb = b * b;
            this.panels = count * bb;
            this.w = pool.scratch(worker, 0, count * bb + Panels.size(simd, b, b));
            this.tile = pool.scratch(worker, 3, simd.tiles().tileRows() * simd.tiles().tileCols());
        }

        /// Makes x the right operand of the products to come.
        void right(int x) {
            Panels.of(simd, w, x * bb, b, b, b, w, panels);
        }

        /// `c (+)= a x`, x being the last [#right].
        void times(int a, int c, boolean accumulate) {
            simd.tiles().product(b, b, b, w, a * bb, b, w, panels, w, c * bb, b, accumulate, tile);
        }

        void turn(int x, int y) {
            simd.layout().transpose(w, x * bb, b, b, b, w, y * bb, b);
        }

        /// `y += f x`.
        void axpy(float f, int x, int y) {
            simd.elements().axpy(f, w, x * bb, w, y * bb, bb);
        }

        /// `y = f x`.
        void scale(float f, int x, int y) {
            simd.elements().scale(f, w, x * bb, w, y * bb, bb);
        }

        void addDiagonal(int x, float f) {
            for (int i = 0; i < b; i++)
                w[x * bb + i * b + i] += f;
        }
    }

    /// `R = sum c_j Q^j`.
    private static void neumann(ThreadPool pool, Simd simd, Orthogonal map, float[] v, int vo, int b, float[] r, int ro,
            int worker) {
        float[] c = map.coefficients();
        Squares s = new Squares(pool, simd, b, 3, worker);
        skew(map, v, vo, b, s.w, 0);
        Arrays.fill(r, ro, ro + b * b, 0f);
        for (int i = 0; i < b; i++)
            r[ro + i * b + i] = c[0];
        if (c.length > 2)
            s.right(0);
        int power = 0;
        for (int j = 1; j < c.length; j++) {
            if (j > 1) {
                int next = power == 1 ? 2 : 1;
                s.times(power, next, false);
                power = next;
            }
            simd.elements().axpy(c[j], s.w, power * s.bb, r, ro, s.bb);
        }
    }

    /// `A = c_p G, D = 0; for j = p..2: D += P_(j-1)^T A, A = c_(j-1) G + A Q^T; dQ = D + A`, with
    /// `P_j^T = (-1)^j P_j`.
    private static boolean neumannGrad(ThreadPool pool, Simd simd, Orthogonal map, float[] v, int vo, int b, float[] dR,
            int go, float[] dQ, int worker) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        if (p == 0)
            return false;
        // D, two A, a product, then the powers: Q^j at powers + j
        int powers = 3;
        Squares s = new Squares(pool, simd, b, powers + Math.max(2, p), worker);
        int q = powers + 1;
        skew(map, v, vo, b, s.w, q * s.bb);
        if (p > 2)
            s.right(q);
        for (int j = 2; j < p; j++)
            s.times(powers + j - 1, powers + j, false);
        s.scale(0f, q, 0);
        int now = 1;
        simd.elements().scale(c[p], dR, go, s.w, now * s.bb, s.bb);
        for (int j = p; j >= 2; j--) {
            int next = 3 - now;
            s.right(now);
            s.times(powers + j - 1, powers, false);
            s.axpy(j % 2 == 0 ? -1f : 1f, powers, 0);
            s.right(q);
            s.times(now, next, false);
            s.scale(-1f, next, next);
            simd.elements().axpy(c[j - 1], dR, go, s.w, next * s.bb, s.bb);
            now = next;
        }
        simd.elements().add(s.w, 0, s.w, now * s.bb, dQ, 0, s.bb);
        return true;
    }

    /// `X_0 = I + Q; X <- a X + b X X^T X`; leaves X_0 .. X_terms, followed by four squares of work space.
    private static Squares iterates(ThreadPool pool, Simd simd, Orthogonal map, float[] v, int vo, int b, int worker) {
        double[][] pairs = Orthogonal.newtonSchulz(map.terms());
        Squares s = new Squares(pool, simd, b, map.terms() + 5, worker);
        int square = map.terms() + 1;
        int turned = square + 1;
        skew(map, v, vo, b, s.w, 0);
        s.addDiagonal(0, 1f);
        for (int k = 0; k < map.terms(); k++) {
            s.turn(k, turned);
            s.right(k);
            s.times(turned, square, false);
            s.scale((float) pairs[k][1], square, square);
            s.addDiagonal(square, (float) pairs[k][0]);
            s.right(square);
            s.times(k, k + 1, false);
        }
        return s;
    }

    private static void newtonSchulz(ThreadPool pool, Simd simd, Orthogonal map, float[] v, int vo, int b, float[] r,
            int ro, int worker) {
        Squares s = iterates(pool, simd, map, v, vo, b, worker);
        System.arraycopy(s.w, map.terms() * s.bb, r, ro, s.bb);
    }

    /// Back through each step: `dX = a G + b (G S + X G^T X + S G)` with `S = X^T X = X X^T`, since X is a polynomial
    /// of a skew matrix and so commutes with its transpose.
    private static boolean newtonSchulzGrad(ThreadPool pool, Simd simd, Orthogonal map, float[] v, int vo, int b,
            float[] dR, int go, float[] dQ, int worker) {
        double[][] pairs = Orthogonal.newtonSchulz(map.terms());
        Squares s = iterates(pool, simd, map, v, vo, b, worker);
        int square = map.terms() + 1;
        int turned = square + 1;
        int sum = square + 2;
        int g = square + 3;
        System.arraycopy(dR, go, s.w, g * s.bb, s.bb);
        for (int k = map.terms() - 1; k >= 0; k--) {
            s.right(k);
            s.turn(k, turned);
            s.times(turned, square, false);
            s.turn(g, turned);
            s.times(turned, sum, false);
            s.right(sum);
            s.times(k, sum, false);
            s.right(square);
            s.times(g, sum, true);
            s.right(g);
            s.times(square, sum, true);
            s.scale((float) pairs[k][0], g, g);
            s.axpy((float) pairs[k][1], sum, g);
        }
        System.arraycopy(s.w, g * s.bb, dQ, 0, s.bb);
        return true;
    }

    /// `(I - Q)^-1` for CAYLEY_PLUS, `(I + Q)^-1` for CAYLEY_MINUS, by Gauss-Jordan elimination in place.
    private static double[][] inverse(ThreadPool pool, Orthogonal map, float[] v, int vo, int b, int worker) {
        float[] q = pool.scratch(worker, 2, b * b);
        skew(map, v, vo, b, q, 0);
        double sign = map.form() == Orthogonal.Form.CAYLEY_PLUS ? -1 : 1;
        double[][] m = pool.squares(worker, 0, b);
        for (int i = 0; i < b; i++)
            for (int j = 0; j < b; j++)
                m[i][j] = (i == j ? 1 : 0) + sign * q[i * b + j];
        for (int k = 0; k < b; k++) {
            double[] pivot = m[k];
            double d = 1 / pivot[k];
            pivot[k] = 1;
            for (int j = 0; j < b; j++)
                pivot[j] *= d;
            for (int i = 0; i < b; i++)
                if (i != k) {
                    double f = m[i][k];
                    m[i][k] = 0;
                    subtract(m[i], f, pivot, b);
                }
        }
        return m;
    }

    private static void subtract(double[] row, double f, double[] pivot, int n) {
        for (int j = 0; j < n; j++)
            row[j] -= f * pivot[j];
    }

    /// `dQ = 2 N^T G N^T`, N the inverse; negative for CAYLEY_MINUS.
    private static boolean cayleyGrad(ThreadPool pool, Orthogonal map, float[] v, int vo, int b, float[] dR, int go,
            float[] dQ, int worker) {
        double[][] n = inverse(pool, map, v, vo, b, worker);
        double[][] turned = pool.squares(worker, 1, b);
        double[][] g = pool.squares(worker, 2, b);
        double[][] gn = pool.squares(worker, 3, b);
        for (int i = 0; i < b; i++)
            for (int j = 0; j < b; j++) {
                turned[i][j] = n[j][i];
                g[i][j] = dR[go + i * b + j];
            }
        multiply(g, turned, gn, b);
        multiply(turned, gn, g, b);
        double two = map.form() == Orthogonal.Form.CAYLEY_PLUS ? 2 : -2;
        for (int i = 0; i < b; i++)
            for (int j = 0; j < b; j++)
                dQ[i * b + j] = (float) (two * g[i][j]);
        return true;
    }

    private static void multiply(double[][] x, double[][] y, double[][] z, int b) {
        for (int i = 0; i < b; i++) {
            Arrays.fill(z[i], 0, b, 0);
            for (int k = 0; k < b; k++)
                subtract(z[i], -x[i][k], y[k], b);
        }
    }

    static Runnable coftProject(CayleyOps.CoftProject op, Operand v) {
        int m = op.b() * (op.b() - 1) / 2;
        return () -> {
            for (int i = 0; i < op.blocks(); i++) {
                int at = v.off() + i * m;
                double s = 0;
                for (int k = at; k < at + m; k++)
                    s += 2.0 * v.f()[k] * v.f()[k];
                double norm = Math.sqrt(s);
                if (norm > op.limit())
                    for (int k = at; k < at + m; k++)
                        v.f()[k] = (float) (v.f()[k] * (op.limit() / norm));
            }
        };
    }

    static Runnable maskBlocks(CayleyOps.MaskBlocks op, Operand r, Operand mask) {
        int b = op.b();
        return () -> {
            for (int i = 0; i < op.blocks(); i++) {
                if (mask.i()[mask.off() + i] == 0)
                    continue;
                int at = r.off() + i * b * b;
                Arrays.fill(r.f(), at, at + b * b, 0f);
                if (op.identity())
                    for (int j = 0; j < b; j++)
                        r.f()[at + j * b + j] = 1f;
            }
        };
    }
}
