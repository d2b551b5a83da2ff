package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;
import static dev.gyre.kernels.op.Checks.opt;
import static dev.gyre.kernels.op.Checks.present;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// Layer normalisation of rows. Letters and conventions are those of [Op].
public sealed interface LayerNormOps extends Op {
    /// `y = (x - mean) rstd * weight + bias` per row, with the row's mean and `rstd = 1/sqrt(variance + eps)`, the variance
    /// that of all C values: x, y (N,C), weight, bias (C), mean, rstd (N). Without bias none is added.
    record LayerNorm(Buf x, Buf weight, @Nullable Buf bias, Buf y, Buf mean, Buf rstd, int N, int C, double eps)
            implements LayerNormOps {
        public LayerNorm {
            check(x.size() == (long) N * C && y.size() == x.size() && weight.size() == C && mean.size() == N
                    && rstd.size() == N && weight.dtype() == DType.F32 && (bias == null || bias.size() == C),
                    "LayerNorm", x, weight, y, mean, rstd);
        }

        @Override
        public List<Access> accesses() {
            return present(read(x), read(weight), opt(bias, false), write(y), write(mean), write(rstd));
        }

        @Override
        public long flops() {
            return 8L * N * C;
        }
    }

    /// `dX (+)= rstd (g - mean(g) - h mean(g h))` per row, with `g = dY * weight` and `h = (x - mean) rstd`.
    record LayerNormGrad(Buf x, Buf weight, Buf mean, Buf rstd, Buf dY, Buf dX, int N, int C, boolean accumulate)
            implements LayerNormOps {
        public LayerNormGrad {
            check(x.size() == (long) N * C && dY.size() == x.size() && dX.size() == x.size() && weight.size() == C
                    && mean.size() == N && rstd.size() == N, "LayerNormGrad", x, weight, mean, rstd, dY, dX);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(weight), read(mean), read(rstd), read(dY), into(dX, accumulate));
        }

        @Override
        public long flops() {
            return 13L * N * C;
        }
    }

    /// Adds `sum over rows of dY (x - mean) rstd` to dWeight (C). The bias's gradient is [ColumnOps.BiasGrad].
    record LayerNormWeightGrad(Buf x, Buf mean, Buf rstd, Buf dY, Buf dWeight, int N, int C) implements LayerNormOps {
        public LayerNormWeightGrad {
            check(x.size() == (long) N * C && dY.size() == x.size() && dWeight.size() == C && mean.size() == N
                    && rstd.size() == N, "LayerNormWeightGrad", x, mean, rstd, dY, dWeight);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(mean), read(rstd), read(dY), update(dWeight));
        }

        @Override
        public long flops() {
            return 4L * N * C;
        }
    }
}
