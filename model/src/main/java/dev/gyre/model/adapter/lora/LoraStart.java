package dev.gyre.model.adapter.lora;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Storage;
import dev.gyre.quant.linalg.TruncatedSvd;

/// The base weights that PEFT's starts leave ([Lora.Start]), computed again from the model's as PEFT does when it loads an
/// adapter. Signs and bases of the factors cancel in their product, so the result does not depend on who computed it.
final class LoraStart {
    private LoraStart() {
    }

    private static float[] values(Site site, HostData weight, int r) {
        Storage.requireExact(site.weight(), weight);
        if (r > Math.min(site.in(), site.out()))
            throw new InputException(
                    site.path() + ": rank " + r + " of a pissa or olora start is more than the weight of "
                            + site.out() + " x " + site.in() + " has");
        return weight.floats().clone();
    }

    /// `W - U_r S_r V_r^T`.
    static float[] pissa(Site site, HostData weight, int r) {
        float[] w = values(site, weight, r);
        int n = site.out();
        int d = site.in();
        var options = TruncatedSvd.Options.defaults(r, 1);
        TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), n, d, r,
                new TruncatedSvd.Options(2e-6, options.oversampling(), options.maxCycles(), options.exactUpTo(),
                        options.seed()),
                new CpuBackend(), (_, _) -> {
                });
        float[] u = svd.u();
        float[] vt = svd.vt();
        double[] s = svd.s();
        double[] row = new double[d];
        for (int o = 0; o < n; o++) {
            java.util.Arrays.fill(row, 0);
            for (int k = 0; k < r; k++)
                add(row, u[o * r + k] * s[k], vt, k * d);
            for (int i = 0; i < d; i++)
                w[o * d + i] = (float) (w[o * d + i] - row[i]);
        }
        return w;
    }

    private static void add(double[] row, double factor, float[] of, int at) {
        for (int i = 0; i < row.length; i++)
            row[i] += factor * of[at + i];
    }

    /// `W - s Q_r Q_r^T W`: the first r columns of Q span those of W, and `R = Q^T W`.
    static float[] olora(Site site, HostData weight, int r, double scale) {
        float[] w = values(site, weight, r);
        int n = site.out();
        int d = site.in();
        double[][] q = new double[r][n];
        for (int k = 0; k < r; k++) {
            for (int o = 0; o < n; o++)
                q[k][o] = w[o * d + k];
            // twice is enough
            for (int pass = 0; pass < 2; pass++)
                for (int j = 0; j < k; j++)
                    subtract(q[k], dot(q[j], q[k]), q[j]);
            double norm = Math.sqrt(dot(q[k], q[k]));
            if (!(norm > 0))
                throw new InputException(
                        site.path() + ": the first " + r + " columns of the weight are linearly dependent,"
                                + " and an olora start from them is not defined");
            for (int o = 0; o < n; o++)
                q[k][o] /= norm;
        }
        double[][] rows = new double[r][d];
        for (int k = 0; k < r; k++)
            for (int o = 0; o < n; o++)
                add(rows[k], q[k][o], w, o * d);
        for (int o = 0; o < n; o++)
            for (int i = 0; i < d; i++) {
                double sum = 0;
                for (int k = 0; k < r; k++)
                    sum += q[k][o] * rows[k][i];
                w[o * d + i] = (float) (w[o * d + i] - scale * sum);
            }
        return w;
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    private static void subtract(double[] from, double factor, double[] of) {
        for (int i = 0; i < from.length; i++)
            from[i] -= factor * of[i];
    }
}
