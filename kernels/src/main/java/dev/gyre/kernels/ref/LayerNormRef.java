package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.LayerNormOps;
import org.jspecify.annotations.Nullable;

/// Layer normalisation over C, one row after the other.
final class LayerNormRef {
    private LayerNormRef() {
    }

    static void run(LayerNormOps op, Operands of) {
        switch (op) {
            case LayerNormOps.LayerNorm(var x, var weight, var bias, var y, var mean, var rstd, int N, int C, double eps) ->
                    layerNorm(of.vec(x), of.vec(weight), of.optional(bias), of.vec(y), of.vec(mean), of.vec(rstd), N, C,
                            eps);
            case LayerNormOps.LayerNormGrad(var x, var weight, var mean, var rstd, var dY, var dX, int N, int C, var accumulate) ->
                    layerNormGrad(of.vec(x), of.vec(weight), of.vec(mean), of.vec(rstd), of.vec(dY), of.vec(dX), N, C,
                            accumulate);
            case LayerNormOps.LayerNormWeightGrad(var x, var mean, var rstd, var dY, var dWeight, int N, int C) ->
                    weightGrad(of.vec(x), of.vec(mean), of.vec(rstd), of.vec(dY), of.vec(dWeight), N, C);
        }
    }

    /// `rstd = 1/sqrt(mean((x - mean)^2) + eps)`, `y = (x - mean) rstd * weight + bias`
    static void layerNorm(Vec x, Vec weight, @Nullable Vec bias, Vec y, Vec mean, Vec rstd, int N, int C, double eps) {
        for (int i = 0; i < N; i++) {
            double m = 0;
            for (int c = 0; c < C; c++)
                m += x.get(i * C + c) / C;
            double variance = 0;
            for (int c = 0; c < C; c++)
                variance += (x.get(i * C + c) - m) * (x.get(i * C + c) - m) / C;
            double r = 1 / Math.sqrt(variance + eps);
            mean.set(i, m);
            rstd.set(i, r);
            for (int c = 0; c < C; c++)
                y.set(i * C + c, (x.get(i * C + c) - m) * r * weight.get(c) + (bias == null ? 0 : bias.get(c)));
        }
    }

    /// With `g = dY * weight` and `h = (x - mean) rstd`: `dX (+)= rstd (g - mean(g) - h mean(g h))`
    static void layerNormGrad(Vec x, Vec weight, Vec mean, Vec rstd, Vec dY, Vec dX, int N, int C,
            boolean accumulate) {
        for (int i = 0; i < N; i++) {
            double r = rstd.get(i);
            double g1 = 0;
            double gh = 0;
            for (int c = 0; c < C; c++) {
                double g = dY.get(i * C + c) * weight.get(c);
                g1 += g / C;
                gh += g * (x.get(i * C + c) - mean.get(i)) * r / C;
            }
            for (int c = 0; c < C; c++) {
                int k = i * C + c;
                double d = r * (dY.get(k) * weight.get(c) - g1 - (x.get(k) - mean.get(i)) * r * gh);
                dX.set(k, accumulate ? dX.get(k) + d : d);
            }
        }
    }

    /// `dWeight += sum over rows of dY (x - mean) rstd`
    static void weightGrad(Vec x, Vec mean, Vec rstd, Vec dY, Vec dWeight, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                dWeight.add(c, dY.get(i * C + c) * (x.get(i * C + c) - mean.get(i)) * rstd.get(i));
    }
}
