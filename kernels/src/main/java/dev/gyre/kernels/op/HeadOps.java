package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Pooling, similarity and losses of heads that predict something else than the next token. Letters and conventions are
/// those of [Op]; `R` is the number of results, such as the sequences of a batch. Cross entropy over classes is
/// [TokenOps.CrossEntropy]; the row of a sequence's first or last token is taken by [TokenOps.Embed] with x as its table.
public sealed interface HeadOps extends Op {
    /// `out[r] = mean of x[i] over from[r] <= i < to[r]`: x (N,C), from, to (R) I32 with `0 <= from < to <= N`, out (R,C).
    record MeanRows(Buf x, Buf from, Buf to, Buf out, int N, int R, int C) implements HeadOps {
        public MeanRows {
            check(x.size() == (long) N * C && out.size() == (long) R * C && from.size() == R && to.size() == R
                    && from.dtype() == DType.I32 && to.dtype() == DType.I32, "MeanRows", x, from, to, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(from), read(to), write(out));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// `dX[i] = sum of dOut[r] / (to[r] - from[r]) over all r with from[r] <= i < to[r]`, in their order.
    record MeanRowsGrad(Buf dOut, Buf from, Buf to, Buf dX, int N, int R, int C) implements HeadOps {
        public MeanRowsGrad {
            check(dX.size() == (long) N * C && dOut.size() == (long) R * C && from.size() == R && to.size() == R
                    && from.dtype() == DType.I32 && to.dtype() == DType.I32, "MeanRowsGrad", dOut, from, to, dX);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(dOut), read(from), read(to), write(dX));
        }

        @Override
        public long flops() {
            return 2L * N * C;
        }
    }

    /// `out[i] = x[i] . y[i]`: x, y (N,C), out (N).
    record RowDot(Buf x, Buf y, Buf out, int N, int C) implements HeadOps {
        public RowDot {
            check(x.size() == (long) N * C && y.size() == x.size() && out.size() == N, "RowDot", x, y, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(y), write(out));
        }

        @Override
        public long flops() {
            return 2L * N * C;
        }
    }

    /// `y[i] (+)= s[i] x[i]`: x, y (N,C), s (N). The gradient of [RowDot] for one of its operands.
    record ScaleRows(Buf x, Buf s, Buf y, int N, int C, boolean accumulate) implements HeadOps {
        public ScaleRows {
            check(x.size() == (long) N * C && y.size() == x.size() && s.size() == N, "ScaleRows", x, s, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(s), into(y, accumulate));
        }

        @Override
        public long flops() {
            return 2L * N * C;
        }
    }

    /// Binary cross entropy of each row: logits z (N,V), targets t (N,V) in 0..1:
    /// `rowLoss[i] = mean over V of max(z, 0) - z t + log(1 + exp(-|z|))`. With `gradient`, logits are replaced by
    /// `(sigmoid(z) - t) / V * scale[0]`.
    record BinaryCrossEntropy(Buf logits, Buf targets, Buf rowLoss, Buf scale, int N, int V, boolean gradient)
            implements HeadOps {
        public BinaryCrossEntropy {
            check(logits.size() == (long) N * V && targets.size() == logits.size() && rowLoss.size() == N
                    && scale.size() == 1, "BinaryCrossEntropy", logits, targets, rowLoss, scale);
        }

        @Override
        public List<Access> accesses() {
            return List.of(gradient ? update(logits) : read(logits), read(targets), write(rowLoss), read(scale));
        }

        @Override
        public long flops() {
            return 8L * N * V;
        }
    }

    /// Squared error of each row: y, targets t (N,V): `rowLoss[i] = mean over V of (y - t)^2`. With `gradient`, y is
    /// replaced by `2 (y - t) / V * scale[0]`.
    record SquaredError(Buf y, Buf targets, Buf rowLoss, Buf scale, int N, int V, boolean gradient)
            implements HeadOps {
        public SquaredError {
            check(y.size() == (long) N * V && targets.size() == y.size() && rowLoss.size() == N && scale.size() == 1,
                    "SquaredError", y, targets, rowLoss, scale);
        }

        @Override
        public List<Access> accesses() {
            return List.of(gradient ? update(y) : read(y), read(targets), write(rowLoss), read(scale));
        }

        @Override
        public long flops() {
            return 3L * N * V;
        }
    }
}
