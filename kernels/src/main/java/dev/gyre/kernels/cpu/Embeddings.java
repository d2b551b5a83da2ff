package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.TokenOps;

/// Token embedding and its gradient.
final class Embeddings {
    /// ColumnCpu that one item of the gradient owns; it adds all rows there in order.
    private static final int COLUMNS = 64;

    private Embeddings() {
    }

    static Runnable embed(Cpu cpu, Simd simd, TokenOps.Embed op, View ids, View table, View out) {
        int C = op.C();
        boolean bf16 = op.table().dtype() == DType.BF16;
        return ColumnCpu.rows(cpu, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int at = table.off() + id(op, ids, t, op.V()) * C;
                if (bf16 && table.slot().data() instanceof HostData.BF16 h)
                    simd.decodeBf16(h.bits, at, out.f(), out.off() + t * C, C);
                else
                    System.arraycopy(table.f(), at, out.f(), out.off() + t * C, C);
            }
        });
    }

    private static int id(Op op, View ids, int t, int V) {
        int id = ids.i()[ids.off() + t];
        if (id < 0 || id >= V)
            throw new IllegalArgumentException(
                    "token id " + id + " at row " + t + " is outside the vocabulary of " + V + " (" + op + ")");
        return id;
    }

    static Runnable embedGrad(Cpu cpu, Simd simd, TokenOps.EmbedGrad op, View ids, View dOut, View dTable) {
        int C = op.C();
        Cpu.Body body = (item, worker) -> {
            int from = item * COLUMNS;
            int n = Math.min(COLUMNS, C - from);
            for (int t = 0; t < op.N(); t++) {
                int at = dTable.off() + id(op, ids, t, op.V()) * C + from;
                simd.add(dTable.f(), at, dOut.f(), dOut.off() + t * C + from, dTable.f(), at, n);
            }
        };
        return () -> cpu.forEach((C + COLUMNS - 1) / COLUMNS, body);
    }
}
