package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.NormOps;

/// Root mean square norm over C, one row after the other.
final class NormRef {
    private NormRef() {
    }

    static void run(NormOps op, Operands of) {
        switch (op) {
            case NormOps.RmsNorm(var x, var weight, var y, var rstd, int N, int C, double eps, double offset) ->
                    rmsNorm(of.vec(x), of.vec(weight), of.vec(y), of.vec(rstd), N, C, eps, offset);
            case NormOps.RmsNormGrad(var x, var weight, var rstd, var dY, var dX, int N, int C, var accumulate, double offset) ->
                    rmsNormGrad(of.vec(x), of.vec(weight), of.vec(rstd), of.vec(dY), of.vec(dX), N, C, accumulate,
                            offset);
            case NormOps.RmsNormWeightGrad(var x, var rstd, var dY, var dWeight, int N, int C) ->
                    weightGrad(of.vec(x), of.vec(rstd), of.vec(dY), of.vec(dWeight), N, C);
        }
    }

    /// `rstd = 1/sqrt(mean(x^2) + eps)`, `y = x rstd * (offset + weight)`
    static void rmsNorm(Vec x, Vec weight, Vec y, Vec rstd, int N, int C, double eps, double offset) {
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int c = 0; c < C; c++)
                sum += x.get(i * C + c) * x.get(i * C + c);
            double r = 1 / Math.sqrt(sum / C + eps);
            rstd.set(i, r);
            for (int c = 0; c < C; c++)
                y.set(i * C + c, x.get(i * C + c) * r * (offset + weight.get(c)));
        }
    }

    /// With `g = dY * (offset + weight)`: `dX (+)= rstd (g - x rstd^2 mean(g x))`
    static void rmsNormGrad(Vec x, Vec weight, Vec rstd, Vec dY, Vec dX, int N, int C, boolean accumulate,
            double offset) {
        for (int i = 0; i < N; i++) {
            double r = rstd.get(i);
            double mean = 0;
            for (int c = 0; c < C; c++)
                mean += dY.get(i * C + c) * (offset + weight.get(c)) * x.get(i * C + c) / C;
            for (int c = 0; c < C; c++) {
                int k = i * C + c;
                double d = r * (dY.get(k) * (offset + weight.get(c)) - x.get(k) * r * r * mean);
                dX.set(k, accumulate ? dX.get(k) + d : d);
            }
        }
    }

    /// `dWeight += sum over rows of dY * x rstd`
    static void weightGrad(Vec x, Vec rstd, Vec dY, Vec dWeight, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                dWeight.add(c, dY.get(i * C + c) * x.get(i * C + c) * rstd.get(i));
    }
}
