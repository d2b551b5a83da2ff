package dev.gyre.model.adapter;

import dev.gyre.kernels.op.Orthogonal;

/// Angle and orthogonality error of a module's rotation, from its parameters alone.
///
/// Q is normal, with eigenvalue pairs `+-i theta`; R is a function of Q, so on each plane it is the complex number
/// `f(i theta)`: its modulus is the singular value, its argument the angle. Only the largest theta of the blocks is
/// needed, found by power iteration: `O(b^2)` a block, against `O(b^3)` for R itself.
///
/// @param module module path
/// @param skewNorm largest spectral norm of a block of Q; 0 of a method without one. Cayley-Neumann loses rank as it nears 1
/// @param angle largest rotation angle in degrees
/// @param defect orthogonality error `||R^T R - I||_2`, the largest over all planes up to skewNorm
public record Geometry(String module, double skewNorm, double angle, double defect) {
    /// Orthogonality error above which users are warned: lengths are off by half a per cent.
    public static final double WARN = 0.01;
    /// What users are told then.
    public static final String REMEDY =
            "adapter.cayley: newton_schulz with terms: 6 keeps the error at 1e-6 (it takes twice the train.lr, and PEFT's"
                    + " files hold the same rotation), and a lower train.lr keeps it smaller";
    private static final int GRID = 128;
    private static final int MAX_ITERATIONS = 200;

    /// Whether a rotation is none any more. A method that is not held to rotations, only drawn to them, has no Q.
    public boolean isDrifted() {
        return isDrifted(skewNorm, defect);
    }

    /// As [#isDrifted()], of values that were written down.
    public static boolean isDrifted(double skewNorm, double defect) {
        return skewNorm > 0 && defect > WARN;
    }

    /// @param v stored skew blocks of `map`
    public static Geometry of(String module, Orthogonal map, float[] v, int blocks, int b) {
        double theta = 0;
        int m = map.stored(b);
        for (int i = 0; i < blocks; i++)
            theta = Math.max(theta, spectralNorm(block(map, v, i * m, b), b));
        double angle = 0;
        double defect = 0;
        for (int i = 1; i <= GRID && theta > 0; i++) {
            double[] r = plane(map, theta * i / GRID);
            defect = Math.max(defect, Math.abs(r[0] * r[0] + r[1] * r[1] - 1));
            angle = Math.max(angle, Math.toDegrees(Math.abs(Math.atan2(r[1], r[0]))));
        }
        return new Geometry(module, theta, angle, defect);
    }

    /// `f(i theta)` as (real, imaginary).
    private static double[] plane(Orthogonal map, double theta) {
        return switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> {
                double re = 0;
                double im = 0;
                float[] c = map.coefficients();
                for (int j = c.length - 1; j >= 0; j--) {
                    double t = -im * theta + c[j];
                    im = re * theta;
                    re = t;
                }
                yield new double[] {re, im};
            }
            case CAYLEY_PLUS, CAYLEY_MINUS -> {
                double a = 2 * Math.atan(theta);
                yield new double[] {Math.cos(a), Math.sin(a)};
            }
            case NEWTON_SCHULZ -> {
                double s = Math.hypot(1, theta);
                double re = 1 / s;
                double im = theta / s;
                for (double[] ab : Orthogonal.newtonSchulz(map.terms()))
                    s = ab[0] * s + ab[1] * s * s * s;
                yield new double[] {re * s, im * s};
            }
        };
    }

    private static double[] block(Orthogonal map, float[] v, int at, int b) {
        double[] q = new double[b * b];
        int k = at;
        for (int i = 0; i < b; i++)
            for (int j = i + 1; j < b; j++) {
                double x = map.skew() == Orthogonal.Skew.PACKED ? v[k++]
                        : 0.5 * ((double) v[at + i * b + j] - v[at + j * b + i]);
                q[i * b + j] = x;
                q[j * b + i] = -x;
            }
        if (map.maxNorm() > 0) {
            double norm = 0;
            for (double x : q)
                norm += x * x;
            norm = Math.sqrt(norm);
            if (norm > map.maxNorm())
                for (int i = 0; i < q.length; i++)
                    q[i] *= map.maxNorm() / (norm + 1e-12);
        }
        return q;
    }

    /// Power iteration on `Q^T Q` from a fixed start, until the norm changes by less than 1e-6 of itself.
    private static double spectralNorm(double[] q, int b) {
        double[] x = new double[b];
        for (int i = 0; i < b; i++)
            x[i] = 1 + 0.1 * Math.sin(1 + 3.7 * i);
        double norm = 0;
        for (int it = 0; it < MAX_ITERATIONS; it++) {
            double[] y = times(q, normalised(x), b);
            double now = Math.sqrt(dot(y, y));
            if (now == 0)
                return 0;
            x = times(q, y, b);
            for (int i = 0; i < b; i++)
                x[i] = -x[i];
            if (Math.abs(now - norm) <= 1e-6 * now)
                return now;
            norm = now;
        }
        return norm;
    }

    private static double[] normalised(double[] x) {
        double n = Math.sqrt(dot(x, x));
        double[] y = x.clone();
        if (n > 0)
            for (int i = 0; i < y.length; i++)
                y[i] /= n;
        return y;
    }

    private static double[] times(double[] q, double[] x, int b) {
        double[] y = new double[b];
        for (int i = 0; i < b; i++) {
            double s = 0;
            for (int j = 0; j < b; j++)
                s += q[i * b + j] * x[j];
            y[i] = s;
        }
        return y;
    }

    private static double dot(double[] a, double[] b) {
        double s = 0;
        for (int i = 0; i < a.length; i++)
            s += a[i] * b[i];
        return s;
    }
}
