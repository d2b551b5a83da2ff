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

    static Runnable rmsNorm(ThreadPool pool, Simd simd, NormOps.RmsNorm op, Operand x, Operand weight, Operand y,
            Operand rstd) {
        int C = op.C();
        float eps = (float) op.eps();
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            float[] in = x.f();
            for (int t = from; t < to; t++) {
                int xo = x.off() + t * C;
                float r = (float) (1 / Math.sqrt(simd.elements().dot(in, xo, in, xo, C) / (double) C + eps));
                rstd.f()[rstd.off() + t] = r;
                simd.elements().mul(r, in, xo, weight.f(), weight.off(), y.f(), y.off() + t * C, C);
            }
        });
    }

    /// `dX (+)= (rstd w) dY + (-rstd^3 mean(w dY x)) x`.
    static Runnable rmsNormGrad(ThreadPool pool, Simd simd, NormOps.RmsNormGrad op, Operand x, Operand weight,
            Operand rstd, Operand dY, Operand dX) {
        int C = op.C();
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int at = t * C;
                float r = rstd.f()[rstd.off() + t];
                float mean =
                        simd.elements().dot3(x.f(), x.off() + at, dY.f(), dY.off() + at, weight.f(), weight.off(), C)
                                / C;
                simd.elements().normGrad(r, weight.f(), weight.off(), dY.f(), dY.off() + at, -r * r * r * mean, x.f(),
                        x.off() + at, dX.f(), dX.off() + at, C, op.accumulate());
            }
        });
    }

    static Runnable weightGrad(ThreadPool pool, Simd simd, NormOps.RmsNormWeightGrad op, Operand x, Operand rstd,
            Operand dY, Operand dWeight) {
        int C = op.C();
        return ColumnCpu.sumRows(pool, simd, op.N(), C, dWeight,
                (t, sum, at) -> simd.elements().mulAdd(rstd.f()[rstd.off() + t], x.f(), x.off() + t * C, dY.f(),
                        dY.off() + t * C, sum, at, C));
    }
}
