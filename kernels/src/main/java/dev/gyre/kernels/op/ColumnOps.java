package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Operations along the rows or columns of a matrix (N,C). Letters and conventions are those of [Op].
public sealed interface ColumnOps extends Op {
    /// `y[i] += bias` in place: y (N,C), bias (C).
    record AddBias(Buf y, Buf bias, int N, int C) implements ColumnOps {
        public AddBias {
            check(y.size() == (long) N * C && bias.size() == C && bias.dtype() == DType.F32, "AddBias", y, bias);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(y), read(bias));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// Adds the column sums of dY (N,C) to dBias (C).
    record BiasGrad(Buf dY, Buf dBias, int N, int C) implements ColumnOps {
        public BiasGrad {
            check(dY.size() == (long) N * C && dBias.size() == C, "BiasGrad", dY, dBias);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(dY), update(dBias));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// `y = x * s` with s (C) along each row of x, y (N,C). y may be x.
    record ScaleColumns(Buf x, Buf s, Buf y, int N, int C) implements ColumnOps {
        public ScaleColumns {
            check(x.size() == (long) N * C && y.size() == x.size() && s.size() == C, "ScaleColumns", x, s, y);
        }

        @Override
        public List<Access> accesses() {
            return y == x ? List.of(update(x), read(s)) : List.of(read(x), read(s), write(y));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// Adds `sum over rows of x * y` to out (C): x, y (N,C). The gradient of [ScaleColumns] for s.
    record ColumnDot(Buf x, Buf y, Buf out, int N, int C) implements ColumnOps {
        public ColumnDot {
            check(x.size() == (long) N * C && y.size() == x.size() && out.size() == C, "ColumnDot", x, y, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(y), update(out));
        }

        @Override
        public long flops() {
            return 2L * N * C;
        }
    }

    /// `y[t][j] = x[t][perm[j]]`: x, y (N,C), perm (C) I32 a permutation (BOFT).
    record PermuteColumns(Buf x, Buf perm, Buf y, int N, int C) implements ColumnOps {
        public PermuteColumns {
            check(x.size() == (long) N * C && y.size() == x.size() && perm.size() == C && perm.dtype() == DType.I32,
                    "PermuteColumns", x, perm, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(perm), write(y));
        }
    }
}
