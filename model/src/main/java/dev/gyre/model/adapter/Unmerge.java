package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;

/// Inverses that take adapters out of weights again. A rounding error of W' grows in W by at most one over the smallest
/// singular value of what was multiplied on; beyond [#LIMIT] nothing of W is left to find, and it is refused.
public final class Unmerge {
    /// Largest growth of rounding errors: three of the seven digits of a 32-bit number are then lost.
    static final double LIMIT = 1e3;

    private Unmerge() {
    }

    /// Inverses of r blocks (b, b), row-major, and the growth that they bring.
    public record Blocks(double[] inverse, double growth) {
    }

    public static Blocks inverse(String module, float[] blocks, int count, int b) {
        double[] out = new double[blocks.length];
        double growth = 1;
        for (int i = 0; i < count; i++) {
            RealMatrix r = new Array2DRowRealMatrix(b, b);
            for (int k = 0; k < b; k++)
                for (int c = 0; c < b; c++)
                    r.setEntry(k, c, blocks[(i * b + k) * b + c]);
            SingularValueDecomposition svd = new SingularValueDecomposition(r);
            double[] sigma = svd.getSingularValues();
            growth = Math.max(growth, checked(module, "block " + i + " of its rotation", 1 / sigma[b - 1]));
            // V S^-1 U^T
            RealMatrix v = svd.getV();
            RealMatrix u = svd.getU();
            for (int k = 0; k < b; k++)
                for (int c = 0; c < b; c++) {
                    double s = 0;
                    for (int j = 0; j < b; j++)
                        s += v.getEntry(k, j) * u.getEntry(c, j) / sigma[j];
                    out[(i * b + k) * b + c] = s;
                }
        }
        return new Blocks(out, growth);
    }

    /// @param growth one over the smallest singular value of `what`; infinite or NaN where it is 0
    public static double checked(String module, String what, double growth) {
        if (!(growth <= LIMIT))
            throw new InputException(module + ": " + what
                    + " is singular or nearly so (undoing it would enlarge"
                    + " rounding errors " + (growth < 1e9 ? Math.round(growth) + " times" : "without bound")
                    + "), so the weight before merging cannot be found in the merged one; take it from the base model");
        return growth;
    }

    /// `w <- w - delta`.
    public static void subtract(double[] w, float[] delta) {
        for (int i = 0; i < w.length; i++)
            w[i] -= delta[i];
    }
}
