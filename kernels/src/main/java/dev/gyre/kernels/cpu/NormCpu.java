package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.NormOps;

/// RMS normalisation and its gradients.
final class NormCpu {
    private NormCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, NormOps op, Operands of) {
        return switch (op) {
            case NormOps.RmsNorm o ->
                    rmsNorm(pool, simd, o, of.at(o.x()), of.at(o.weight()), of.at(o.y()), of.at(o.rstd()));
            case NormOps.RmsNormGrad o -> rmsNormGrad(pool, simd, o, of.at(o.x()), of.at(o.weight()), of.at(o.rstd()),
                    of.at(o.dY()), of.at(o.dX()));
            case NormOps.RmsNormWeightGrad o ->
                    weightGrad(pool, simd, o, of.at(o.x()), of.at(o.rstd()), of.at(o.dY()), of.at(o.dWeight()));
        };
    }

    /// Weights with an offset added at the start of each run, because they may be trained.
    private record Weights(Operand weight, float offset, float[] sums) {
        static Weights of(Operand weight, double offset, int C) {
            return new Weights(weight, (float) offset, new float[offset == 0 ? 0 : C]);
        }

        float[] f() {
            return offset == 0 ? weight.f() : sums;
        }

        int off() {
            return offset == 0 ? weight.off() : 0;
        }

        Runnable before(Runnable task) {
            return offset == 0 ? task : () -> {
                for (int c = 0; c < sums.length; c++)
                    sums[c] = offset + weight.f()[weight.off() + c];
                task.run();
            };
        }
    }

    static Runnable rmsNorm(ThreadPool pool, Simd simd, NormOps.RmsNorm op, Operand x, Operand weight, Operand y,
            Operand rstd) {
        int C = op.C();
        float eps = (float) op.eps();
        Weights w = Weights.of(weight, op.offset(), C);
        return w.before(ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            float[] in = x.f();
            for (int t = from; t < to; t++) {
                int xo = x.off() + t * C;
                float r = (float) (1 / Math.sqrt(simd.elements().dot(in, xo, in, xo, C) / (double) C + eps));
                rstd.f()[rstd.off() + t] = r;
                simd.elements().mul(r, in, xo, w.f(), w.off(), y.f(), y.off() + t * C, C);
            }
        }));
    }

    /// `dX (+)= (rstd w) dY + (-rstd^3 mean(w dY x)) x`.
    static Runnable rmsNormGrad(ThreadPool pool, Simd simd, NormOps.RmsNormGrad op, Operand x, Operand weight,
            Operand rstd, Operand dY, Operand dX) {
        int C = op.C();
        Weights w = Weights.of(weight, op.offset(), C);
        return w.before(ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int at = t * C;
                float r = rstd.f()[rstd.off() + t];
                float mean =
                        simd.elements().dot3(x.f(), x.off() + at, dY.f(), dY.off() + at, w.f(), w.off(), C)
                                / C;
                simd.elements().normGrad(r, w.f(), w.off(), dY.f(), dY.off() + at, -r * r * r * mean, x.f(),
                        x.off() + at, dX.f(), dX.off() + at, C, op.accumulate());
            }
        }));
    }

    static Runnable weightGrad(ThreadPool pool, Simd simd, NormOps.RmsNormWeightGrad op, Operand x, Operand rstd,
            Operand dY, Operand dWeight) {
        int C = op.C();
        return ColumnCpu.sumRows(pool, simd, op.N(), C, dWeight,
                (t, sum, at) -> simd.elements().mulAdd(rstd.f()[rstd.off() + t], x.f(), x.off() + t * C, dY.f(),
                        dY.off() + t * C, sum, at, C));
    }
}
