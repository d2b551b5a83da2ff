package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Operations on token ids: embedding and cross entropy. Letters and conventions are those of [Op].
public sealed interface TokenOps extends Op {
    /// Row look-up `out[i] = table[ids[i]]`: ids (N) I32 in `0..V-1`, table (V,C) F32 or BF16, out (N,C).
    record Embed(Buf ids, Buf table, Buf out, int N, int V, int C) implements TokenOps {
        public Embed {
            check(ids.dtype() == DType.I32 && ids.size() == N && table.size() == (long) V * C
                    && out.size() == (long) N * C && table.dtype() != DType.NF4, "Embed", ids, table, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(ids), read(table), write(out));
        }
    }

    /// Adds each row of dOut (N,C) to row `ids[i]` of dTable (V,C), in row order whatever the thread count.
    record EmbedGrad(Buf ids, Buf dOut, Buf dTable, int N, int V, int C) implements TokenOps {
        public EmbedGrad {
            check(ids.dtype() == DType.I32 && ids.size() == N && dTable.size() == (long) V * C
                    && dOut.size() == (long) N * C, "EmbedGrad", ids, dOut, dTable);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(ids), read(dOut), update(dTable));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// Cross entropy of each row: logits (N,V), labels (N) I32, -100 ignored:
    /// `rowLoss[i] = log sum exp logits[i] - logits[i][label]`, 0 for ignored rows. With `gradient`, logits are
    /// replaced by `(softmax - onehot) * scale[0]` (0 for ignored rows); `scale` (1) is 1 / trained tokens of the whole
    /// step.
    record CrossEntropy(Buf logits, Buf labels, Buf rowLoss, Buf scale, int N, int V, boolean gradient)
            implements TokenOps {
        public static final int IGNORE = -100;

        public CrossEntropy {
            check(logits.size() == (long) N * V && labels.size() == N && labels.dtype() == DType.I32
                    && rowLoss.size() == N && scale.size() == 1, "CrossEntropy", logits, labels, rowLoss, scale);
        }

        @Override
        public List<Access> accesses() {
            return List.of(gradient ? update(logits) : read(logits), read(labels), write(rowLoss), read(scale));
        }

        @Override
        public long flops() {
            return (gradient ? 8L : 4L) * N * V;
        }
    }
}
