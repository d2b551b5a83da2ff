package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Root mean square normalisation of rows. Letters and conventions are those of [Op].
public sealed interface NormOps extends Op {
    /// `y = x rstd * (offset + weight)` with `rstd = 1/sqrt(mean(x^2) + eps)` per row: x, y (N,C), weight (C), rstd (N).
    record RmsNorm(Buf x, Buf weight, Buf y, Buf rstd, int N, int C, double eps, double offset) implements NormOps {
        /// With offset 0.
        public RmsNorm(Buf x, Buf weight, Buf y, Buf rstd, int N, int C, double eps) {
            this(x, weight, y, rstd, N, C, eps, 0);
        }

        public RmsNorm {
            check(x.size() == (long) N * C && y.size() == x.size() && weight.size() == C && rstd.size() == N
                    && weight.dtype() == DType.F32, "RmsNorm", x, weight, y, rstd);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(weight), write(y), write(rstd));
        }

        @Override
        public long flops() {
            return 4L * N * C;
        }
    }

    /// `dX (+)= rstd (g - x rstd^2 mean(g x))` per row, with `g = dY * (offset + weight)`.
    record RmsNormGrad(Buf x, Buf weight, Buf rstd, Buf dY, Buf dX, int N, int C, boolean accumulate, double offset)
            implements NormOps {
        /// With offset 0.
        public RmsNormGrad(Buf x, Buf weight, Buf rstd, Buf dY, Buf dX, int N, int C, boolean accumulate) {
            this(x, weight, rstd, dY, dX, N, C, accumulate, 0);
        }

        public RmsNormGrad {
            check(x.size() == (long) N * C && dY.size() == x.size() && dX.size() == x.size() && weight.size() == C
                    && rstd.size() == N, "RmsNormGrad", x, weight, rstd, dY, dX);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(weight), read(rstd), read(dY), into(dX, accumulate));
        }

        @Override
        public long flops() {
            return 8L * N * C;
        }
    }

    /// Adds `sum over rows of dY * x rstd` to dWeight (C), whatever the offset.
    record RmsNormWeightGrad(Buf x, Buf rstd, Buf dY, Buf dWeight, int N, int C) implements NormOps {
        public RmsNormWeightGrad {
            check(x.size() == (long) N * C && dY.size() == x.size() && dWeight.size() == C && rstd.size() == N,
                    "RmsNormWeightGrad", x, rstd, dY, dWeight);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(rstd), read(dY), update(dWeight));
        }

        @Override
        public long flops() {
            return 3L * N * C;
        }
    }
}
