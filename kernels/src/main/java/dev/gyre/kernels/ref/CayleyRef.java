package dev.gyre.kernels.ref;

import static dev.gyre.kernels.ref.Matrices.dot;
import static dev.gyre.kernels.ref.Matrices.identity;
import static dev.gyre.kernels.ref.Matrices.inverse;
import static dev.gyre.kernels.ref.Matrices.plus;
import static dev.gyre.kernels.ref.Matrices.scaled;
import static dev.gyre.kernels.ref.Matrices.times;
import static dev.gyre.kernels.ref.Matrices.transpose;

import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.Orthogonal;
import java.util.ArrayList;
import java.util.List;

/// Rotations from skew-symmetric blocks, COFT's projection, and multiplicative dropout of blocks.
final class CayleyRef {
    private CayleyRef() {
    }

    static void run(CayleyOps op, Operands of) {
        switch (op) {
            case CayleyOps.Cayley(var map, var v, var r, int blocks, int b) ->
                    forward(map, of.vec(v), of.vec(r), blocks, b);
            case CayleyOps.CayleyGrad(var map, var v, var dR, var dV, int blocks, int b) ->
                    backward(map, of.vec(v), of.vec(dR), of.vec(dV), blocks, b);
            case CayleyOps.CoftProject(var v, int blocks, int b, double limit) ->
                    coftProject(of.vec(v), blocks, b, limit);
            case CayleyOps.MaskBlocks(var r, var mask, int blocks, int b, var identity) ->
                    maskBlocks(of.vec(r), of.ints(mask), blocks, b, identity);
        }
    }

    static void forward(Orthogonal map, Vec v, Vec r, int blocks, int b) {
        int m = map.stored(b);
        for (int i = 0; i < blocks; i++) {
            double[] R = rotation(map, limited(map, skew(map, v.slice(i * m, m), b)), b);
            for (int k = 0; k < b * b; k++)
                r.set(i * b * b + k, R[k]);
        }
    }

    /// Adds to dV.
    static void backward(Orthogonal map, Vec v, Vec dR, Vec dV, int blocks, int b) {
        int m = map.stored(b);
        for (int i = 0; i < blocks; i++) {
            double[] Q = skew(map, v.slice(i * m, m), b);
            double[] G = dR.slice(i * b * b, b * b).toArray();
            double[] dQ = limitedGrad(map, Q, rotationGrad(map, limited(map, Q), G, b));
            skewGrad(map, dQ, dV.slice(i * m, m), b);
        }
    }

    /// Scales a stored block to `||Q||_F <= limit`, `||Q||_F^2 = 2 ||v||^2`.
    static void coftProject(Vec v, int blocks, int b, double limit) {
        int m = b * (b - 1) / 2;
        for (int i = 0; i < blocks; i++) {
            Vec block = v.slice(i * m, m);
            double norm = Math.sqrt(2 * dot(block.toArray(), block.toArray()));
            if (norm > limit)
                for (int k = 0; k < m; k++)
                    block.set(k, block.get(k) * limit / norm);
        }
    }

    /// Masked blocks become the identity, or zero.
    static void maskBlocks(Vec r, int[] mask, int blocks, int b, boolean identity) {
        for (int i = 0; i < blocks; i++)
            if (mask[i] != 0)
                for (int k = 0; k < b * b; k++)
                    r.set(i * b * b + k, identity && k / b == k % b ? 1 : 0);
    }

    /// Packed: `Q[i][j] = v[k]`, `Q[j][i] = -v[k]` for i < j in row-major order. Full: `Q = (X - X^T)/2`.
    static double[] skew(Orthogonal map, Vec v, int b) {
        double[] Q = new double[b * b];
        int k = 0;
        for (int i = 0; i < b; i++)
            for (int j = i + 1; j < b; j++) {
                double q = switch (map.skew()) {
                    case PACKED -> v.get(k++);
                    case FULL -> (v.get(i * b + j) - v.get(j * b + i)) / 2;
                };
                Q[i * b + j] = q;
                Q[j * b + i] = -q;
            }
        return Q;
    }

    /// Packed: `dV[k] += dQ[i][j] - dQ[j][i]`. Full: `dX += (dQ - dQ^T)/2`.
    private static void skewGrad(Orthogonal map, double[] dQ, Vec dV, int b) {
        int k = 0;
        for (int i = 0; i < b; i++)
            for (int j = i + 1; j < b; j++) {
                double g = dQ[i * b + j] - dQ[j * b + i];
                switch (map.skew()) {
                    case PACKED -> dV.add(k++, g);
                    case FULL -> {
                        dV.add(i * b + j, g / 2);
                        dV.add(j * b + i, -g / 2);
                    }
                }
            }
    }

    private static boolean limits(Orthogonal map, double norm) {
        return map.maxNorm() > 0 && norm > map.maxNorm();
    }

    /// `Q maxNorm / (||Q||_F + 1e-12)` where the norm exceeds maxNorm.
    private static double[] limited(Orthogonal map, double[] Q) {
        double norm = Math.sqrt(dot(Q, Q));
        return limits(map, norm) ? scaled(map.maxNorm() / (norm + 1e-12), Q) : Q;
    }

    /// `k (D - Q <Q, D> / (q (q + 1e-12)))` with `q = ||Q||_F`, `k = maxNorm / (q + 1e-12)`.
    private static double[] limitedGrad(Orthogonal map, double[] Q, double[] D) {
        double q = Math.sqrt(dot(Q, Q));
        if (!limits(map, q))
            return D;
        double k = map.maxNorm() / (q + 1e-12);
        return scaled(k, plus(D, -dot(Q, D) / (q * (q + 1e-12)), Q));
    }

    /// R of one block, given its Q.
    static double[] rotation(Orthogonal map, double[] Q, int b) {
        double[] I = identity(b);
        return switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> {
                float[] c = map.coefficients();
                double[] R = new double[b * b];
                double[] power = I;
                for (float cj : c) {
                    R = plus(R, cj, power);
                    power = times(power, Q, b);
                }
                yield R;
            }
            case CAYLEY_PLUS -> times(plus(I, 1, Q), inverse(plus(I, -1, Q), b), b);
            case CAYLEY_MINUS -> times(plus(I, -1, Q), inverse(plus(I, 1, Q), b), b);
            case NEWTON_SCHULZ -> newtonSchulz(map, Q, b).getLast();
        };
    }

    /// Gradient for Q as a free matrix, given G, the gradient for R.
    private static double[] rotationGrad(Orthogonal map, double[] Q, double[] G, int b) {
        double[] I = identity(b);
        return switch (map.form()) {
            // Horner's rule backwards: A = c_p G; for j = p .. 2: D += (Q^(j-1))^T A, A = c_(j-1) G + A Q^T; dQ = D + A
            case NEUMANN, NEUMANN_LEGACY -> {
                float[] c = map.coefficients();
                int p = c.length - 1;
                if (p == 0)
                    yield new double[b * b];
                double[][] power = new double[p][];
                power[0] = I;
                for (int j = 1; j < p; j++)
                    power[j] = times(power[j - 1], Q, b);
                double[] A = scaled(c[p], G);
                double[] D = new double[b * b];
                for (int j = p; j >= 2; j--) {
                    D = plus(D, 1, times(transpose(power[j - 1], b), A, b));
                    A = plus(times(A, transpose(Q, b), b), c[j - 1], G);
                }
                yield plus(D, 1, A);
            }
            // N = (I - Q)^-1: dR = 2 N dQ N
            case CAYLEY_PLUS -> {
                double[] Nt = transpose(inverse(plus(I, -1, Q), b), b);
                yield scaled(2, times(times(Nt, G, b), Nt, b));
            }
            // M = (I + Q)^-1: dR = -2 M dQ M
            case CAYLEY_MINUS -> {
                double[] Mt = transpose(inverse(plus(I, 1, Q), b), b);
                yield scaled(-2, times(times(Mt, G, b), Mt, b));
            }
            // X' = a X + b X X^T X: G <- a G + b (G X^T X + X G^T X + X X^T G)
            case NEWTON_SCHULZ -> {
                List<double[]> xs = newtonSchulz(map, Q, b);
                double[][] pairs = Orthogonal.newtonSchulz(map.terms());
                double[] g = G;
                for (int k = map.terms() - 1; k >= 0; k--) {
                    double[] X = xs.get(k);
                    double[] Xt = transpose(X, b);
                    double[] sum = times(times(g, Xt, b), X, b);
                    sum = plus(sum, 1, times(times(X, transpose(g, b), b), X, b));
                    sum = plus(sum, 1, times(times(X, Xt, b), g, b));
                    g = plus(scaled(pairs[k][0], g), pairs[k][1], sum);
                }
                yield g;
            }
        };
    }

    /// `X_0 = I + Q` and what follows each iteration.
    private static List<double[]> newtonSchulz(Orthogonal map, double[] Q, int b) {
        List<double[]> xs = new ArrayList<>();
        xs.add(plus(identity(b), 1, Q));
        for (double[] ab : Orthogonal.newtonSchulz(map.terms())) {
            double[] X = xs.getLast();
            xs.add(plus(scaled(ab[0], X), ab[1], times(times(X, transpose(X, b), b), X, b)));
        }
        return xs;
    }
}
