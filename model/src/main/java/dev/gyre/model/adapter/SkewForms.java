package dev.gyre.model.adapter;

import dev.gyre.kernels.op.Orthogonal;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.LUDecomposition;
import org.apache.commons.math3.linear.RealMatrix;

/// Skew parameters for another map that give the same rotation.
public final class SkewForms {
    private SkewForms() {
    }

    /// Packed blocks for `cay_plus` (or, with `minus`, `cay_minus`) that give the rotations of Newton-Schulz on the packed
    /// blocks `v`: both are functions of Q, with `theta' = tan(arctan(theta) / 2)`, that is `Q' = (R - I)(R + I)^-1` for
    /// the polar factor `R = (I + Q)(I - Q^2)^-1/2`; in closed form `Q' = Q (I + (I - Q^2)^1/2)^-1`.
    static float[] fromPolar(float[] v, int blocks, int b, boolean minus) {
        float[] out = new float[v.length];
        int m = b * (b - 1) / 2;
        for (int i = 0; i < blocks; i++) {
            RealMatrix q = skew(v, i * m, b);
            RealMatrix root = squareRoot(identity(b).subtract(q.multiply(q)));
            RealMatrix p = q.multiply(new LUDecomposition(identity(b).add(root)).getSolver().getInverse());
            int k = i * m;
            for (int r = 0; r < b; r++)
                for (int c = r + 1; c < b; c++)
                    out[k++] = (float) ((minus ? -0.5 : 0.5) * (p.getEntry(r, c) - p.getEntry(c, r)));
        }
        return out;
    }

    /// Newton's iteration `Y <- (Y + S Y^-1) / 2`, scaled by nothing: S is symmetric with eigenvalues of 1 and above.
    private static RealMatrix squareRoot(RealMatrix s) {
        RealMatrix y = s;
        for (int it = 0; it < 60; it++) {
            RealMatrix next = y.add(s.multiply(new LUDecomposition(y).getSolver().getInverse())).scalarMultiply(0.5);
            double change = next.subtract(y).getFrobeniusNorm();
            y = next;
            if (change <= 1e-14 * y.getFrobeniusNorm())
                break;
        }
        return y;
    }

    static float[] negated(float[] v) {
        float[] out = new float[v.length];
        for (int i = 0; i < v.length; i++)
            out[i] = -v[i];
        return out;
    }

    private static RealMatrix skew(float[] v, int at, int b) {
        RealMatrix q = new Array2DRowRealMatrix(b, b);
        int k = at;
        for (int r = 0; r < b; r++)
            for (int c = r + 1; c < b; c++, k++) {
                q.setEntry(r, c, v[k]);
                q.setEntry(c, r, -v[k]);
            }
        return q;
    }

    private static RealMatrix identity(int b) {
        RealMatrix m = new Array2DRowRealMatrix(b, b);
        for (int i = 0; i < b; i++)
            m.setEntry(i, i, 1);
        return m;
    }

    /// Parameters that give the rotations of `map` on blocks `v` in a PEFT file of OFT (`minus`) or PSOFT.
    public static float[] of(Orthogonal map, float[] v, int blocks, int b, boolean minus) {
        return switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> v;
            case CAYLEY_PLUS -> minus ? negated(v) : v;
            case CAYLEY_MINUS -> minus ? v : negated(v);
            case NEWTON_SCHULZ -> fromPolar(v, blocks, b, minus);
        };
    }
}
