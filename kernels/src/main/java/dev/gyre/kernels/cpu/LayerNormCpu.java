package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.LayerNormOps;
import org.jspecify.annotations.Nullable;

/// Layer normalisation and its gradients.
final class LayerNormCpu {
    private LayerNormCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, LayerNormOps op, Operands of) {
        return switch (op) {
            case LayerNormOps.LayerNorm o -> layerNorm(pool, simd, o, of.at(o.x()), of.at(o.weight()),
                    of.optional(o.bias()), of.at(o.y()), of.at(o.mean()), of.at(o.rstd()));
            case LayerNormOps.LayerNormGrad o -> layerNormGrad(pool, simd, o, of.at(o.x()), of.at(o.weight()),
                    of.at(o.mean()), of.at(o.rstd()), of.at(o.dY()), of.at(o.dX()));
            case LayerNormOps.LayerNormWeightGrad o -> weightGrad(pool, simd, o, of.at(o.x()), of.at(o.mean()),
                    of.at(o.rstd()), of.at(o.dY()), of.at(o.dWeight()));
        };
    }

    static Runnable layerNorm(ThreadPool pool, Simd simd, LayerNormOps.LayerNorm op, Operand x, Operand weight,
            @Nullable Operand bias, Operand y, Operand mean, Operand rstd) {
        int C = op.C();
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            float[] in = x.f();
            for (int t = from; t < to; t++) {
                int at = x.off() + t * C;
                float m = simd.layerNorm().sum(in, at, C) / C;
                float r = (float) (1 / Math.sqrt(simd.layerNorm().squares(in, at, m, C) / (double) C + op.eps()));
                mean.f()[mean.off() + t] = m;
                rstd.f()[rstd.off() + t] = r;
                simd.layerNorm().normalise(m, r, in, at, weight.f(), weight.off(), bias == null ? null : bias.f(),
                        bias == null ? 0 : bias.off(), y.f(), y.off() + t * C, C);
            }
        });
    }

    /// `dX (+)= (rstd w) dY - rstd^3 mean(w dY (x - mean)) (x - mean) - rstd mean(w dY)`.
    static Runnable layerNormGrad(ThreadPool pool, Simd simd, LayerNormOps.LayerNormGrad op, Operand x, Operand weight,
            Operand mean, Operand rstd, Operand dY, Operand dX) {
        int C = op.C();
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            float[] w = weight.f();
            float[] sums = new float[2];
            for (int t = from; t < to; t++) {
                int xAt = x.off() + t * C;
                int gAt = dY.off() + t * C;
                float m = mean.f()[mean.off() + t];
                float r = rstd.f()[rstd.off() + t];
                simd.layerNorm().dots(x.f(), xAt, m, dY.f(), gAt, w, weight.off(), C, sums);
                float g = sums[0] / C;
                float gh = sums[1] / C;
                simd.layerNorm().grad(r, w, weight.off(), dY.f(), gAt, -r * r * r * gh, x.f(), xAt, m, -r * g, dX.f(),
                        dX.off() + t * C, C, op.accumulate());
            }
        });
    }

    static Runnable weightGrad(ThreadPool pool, Simd simd, LayerNormOps.LayerNormWeightGrad op, Operand x, Operand mean,
            Operand rstd, Operand dY, Operand dWeight) {
        int C = op.C();
        return ColumnCpu.sumRows(pool, simd, op.N(), C, dWeight,
                (t, sum, at) -> simd.layerNorm().mulAdd(rstd.f()[rstd.off() + t], x.f(), x.off() + t * C,
                        mean.f()[mean.off() + t], dY.f(), dY.off() + t * C, sum, at, C));
    }
}
