package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.TokenOps;
import java.util.Arrays;

/// Token embedding, its gradient, and cross entropy.
final class TokenCpu {
    /// Columns that one item of the gradient owns; it adds all rows there in order.
    private static final int COLUMNS = 64;

    private TokenCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, TokenOps op, Operands of) {
        return switch (op) {
            case TokenOps.Embed o -> embed(pool, simd, o, of.at(o.ids()), of.at(o.table()), of.at(o.out()));
            case TokenOps.EmbedGrad o -> embedGrad(pool, simd, o, of.at(o.ids()), of.at(o.dOut()), of.at(o.dTable()));
            case TokenOps.CrossEntropy o -> crossEntropy(pool, simd, o, of.at(o.logits()), of.at(o.labels()),
                    of.at(o.rowLoss()), of.at(o.scale()));
        };
    }

    static Runnable embed(ThreadPool pool, Simd simd, TokenOps.Embed op, Operand ids, Operand table, Operand out) {
        int C = op.C();
        boolean bf16 = op.table().dtype() == DType.BF16;
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int at = table.off() + id(op, ids, t, op.V()) * C;
                if (bf16 && table.storage().data() instanceof HostData.BF16 h)
                    simd.decoders().bf16(h.bits, at, out.f(), out.off() + t * C, C);
                else
                    System.arraycopy(table.f(), at, out.f(), out.off() + t * C, C);
            }
        });
    }

    private static int id(Op op, Operand ids, int t, int V) {
        int id = ids.i()[ids.off() + t];
        if (id < 0 || id >= V)
            throw new IllegalArgumentException(
                    "token id " + id + " at row " + t + " is outside the vocabulary of " + V + " (" + op + ")");
        return id;
    }

    static Runnable embedGrad(ThreadPool pool, Simd simd, TokenOps.EmbedGrad op, Operand ids, Operand dOut,
            Operand dTable) {
        int C = op.C();
        ThreadPool.Body body = (item, worker) -> {
            int from = item * COLUMNS;
            int n = Math.min(COLUMNS, C - from);
            for (int t = 0; t < op.N(); t++) {
                int at = dTable.off() + id(op, ids, t, op.V()) * C + from;
                simd.elements().add(dTable.f(), at, dOut.f(), dOut.off() + t * C + from, dTable.f(), at, n);
            }
        };
        return () -> pool.forEach((C + COLUMNS - 1) / COLUMNS, body);
    }

    static Runnable crossEntropy(ThreadPool pool, Simd simd, TokenOps.CrossEntropy op, Operand logits, Operand labels,
            Operand rowLoss, Operand scale) {
        int V = op.V();
        return ColumnCpu.rows(pool, op.N(), V, (from, to, worker) -> {
            float[] z = logits.f();
            float[] loss = rowLoss.f();
            float s = scale.f()[scale.off()];
            for (int t = from; t < to; t++) {
                int at = logits.off() + t * V;
                int label = labels.i()[labels.off() + t];
                if (label == TokenOps.CrossEntropy.IGNORE) {
                    loss[rowLoss.off() + t] = 0f;
                    if (op.gradient())
                        Arrays.fill(z, at, at + V, 0f);
                    continue;
                }
                if (label < 0 || label >= V)
                    throw new IllegalArgumentException("label " + label + " at row " + t
                            + " is neither -100 nor inside the vocabulary of " + V + " (" + op.labels() + ")");
                float right = z[at + label];
                float max = simd.elements().max(z, at, V);
                double sum =
                        op.gradient() ? simd.softmax().expInPlace(z, at, max, V) : simd.softmax().sumExp(z, at, max, V);
                loss[rowLoss.off() + t] = (float) (Math.log(sum) + max - right);
                if (op.gradient()) {
                    simd.elements().scale((float) (s / sum), z, at, z, at, V);
                    z[at + label] -= s;
                }
            }
        });
    }
}
