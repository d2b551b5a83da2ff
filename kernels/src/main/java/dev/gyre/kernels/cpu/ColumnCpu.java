package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.ColumnOps;
import java.util.Arrays;

/// Operations on the rows of a matrix with one value per column, and sums over rows.
final class ColumnCpu {
    private ColumnCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, ColumnOps op, Operands of) {
        return switch (op) {
            case ColumnOps.AddBias o -> addBias(pool, simd, o, of.at(o.y()), of.at(o.bias()));
            case ColumnOps.BiasGrad o -> biasGrad(pool, simd, o, of.at(o.dY()), of.at(o.dBias()));
            case ColumnOps.ScaleColumns o -> scaleColumns(pool, simd, o, of.at(o.x()), of.at(o.s()), of.at(o.y()));
            case ColumnOps.ColumnDot o -> columnDot(pool, simd, o, of.at(o.x()), of.at(o.y()), of.at(o.out()));
            case ColumnOps.PermuteColumns o -> permute(pool, o, of.at(o.x()), of.at(o.perm()), of.at(o.y()));
        };
    }

    interface Rows {
        void run(int from, int to, int worker);
    }

    /// A task over rows `0..N-1`, in items of about [ElementCpu#CHUNK] elements.
    static Runnable rows(ThreadPool pool, int N, int C, Rows rows) {
        int some = Math.max(1, ElementCpu.CHUNK / Math.max(1, C));
        ThreadPool.Body body = (item, worker) -> rows.run(item * some, Math.min(N, (item + 1) * some), worker);
        int items = (N + some - 1) / some;
        return () -> pool.forEach(items, body);
    }

    interface AddRow {
        /// Adds what row t contributes to `sum[at..at+C-1]`.
        void add(int t, float[] sum, int at);
    }

    /// Adds `sum over rows` to out (C). The rows are cut into at most 64 parts, independent of the number of threads;
    /// each part is summed, then the parts in order: less rounding error than one long sum, and reproducible.
    static Runnable sumRows(ThreadPool pool, Simd simd, int N, int C, Operand out, AddRow row) {
        int some = Math.max(32, (N + 63) / 64);
        int parts = (N + some - 1) / some;
        ThreadPool.Body body = (part, worker) -> {
            float[] sum = pool.shared(0, parts * C);
            Arrays.fill(sum, part * C, (part + 1) * C, 0f);
            for (int t = part * some; t < Math.min(N, (part + 1) * some); t++)
                row.add(t, sum, part * C);
        };
        return () -> {
            float[] sum = pool.shared(0, parts * C);
            pool.forEach(parts, body);
            for (int part = 1; part < parts; part++)
                simd.elements().add(sum, 0, sum, part * C, sum, 0, C);
            if (parts > 0)
                simd.elements().add(out.f(), out.off(), sum, 0, out.f(), out.off(), C);
        };
    }

    static Runnable addBias(ThreadPool pool, Simd simd, ColumnOps.AddBias op, Operand y, Operand bias) {
        int C = op.C();
        return rows(pool, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++)
                simd.elements().add(y.f(), y.off() + t * C, bias.f(), bias.off(), y.f(), y.off() + t * C, C);
        });
    }

    static Runnable biasGrad(ThreadPool pool, Simd simd, ColumnOps.BiasGrad op, Operand dY, Operand dBias) {
        int C = op.C();
        return sumRows(pool, simd, op.N(), C, dBias,
                (t, sum, at) -> simd.elements().add(sum, at, dY.f(), dY.off() + t * C, sum, at, C));
    }

    static Runnable scaleColumns(ThreadPool pool, Simd simd, ColumnOps.ScaleColumns op, Operand x, Operand s,
            Operand y) {
        int C = op.C();
        return rows(pool, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++)
                simd.elements().mul(1f, x.f(), x.off() + t * C, s.f(), s.off(), y.f(), y.off() + t * C, C);
        });
    }

    static Runnable columnDot(ThreadPool pool, Simd simd, ColumnOps.ColumnDot op, Operand x, Operand y, Operand out) {
        int C = op.C();
        return sumRows(pool, simd, op.N(), C, out,
                (t, sum, at) -> simd.elements().mulAdd(1f, x.f(), x.off() + t * C, y.f(),
                        y.off() + t * C, sum, at, C));
    }

    static Runnable permute(ThreadPool pool, ColumnOps.PermuteColumns op, Operand x, Operand perm, Operand y) {
        int C = op.C();
        return rows(pool, op.N(), C, (from, to, worker) -> {
            float[] in = x.f();
            float[] out = y.f();
            int[] p = perm.i();
            for (int t = from; t < to; t++)
                for (int j = 0; j < C; j++)
                    out[y.off() + t * C + j] = in[x.off() + t * C + p[perm.off() + j]];
        });
    }
}
