package dev.gyre.kernels.cpu;

import dev.gyre.kernels.Op;
import java.util.Arrays;

/// Block rotation of rows and its gradient for R.
final class Rotations {
    /// Numbers of R that stay in the near cache while rows go by.
    private static final int NEAR = 4096;
    private static final int ROWS = 128;

    private Rotations() {
    }

    static Runnable rotate(Cpu cpu, Simd simd, Op.BlockRotate op, View x, View r, View y) {
        int b = op.b();
        int d = op.d();
        int blocks = d / Math.max(1, b);
        int some = Math.min(blocks, Math.max(1, NEAR / (b * b)));
        int parts = (blocks + some - 1) / some;
        int rowItems = (op.N() + ROWS - 1) / ROWS;
        Cpu.Body body = (item, worker) -> {
            int t0 = item / parts * ROWS;
            int rows = Math.min(ROWS, op.N() - t0);
            int first = item % parts * some;
            float[] turned = op.transpose() ? cpu.scratch(worker, 0, b * b) : r.f();
            for (int i = first; i < Math.min(blocks, first + some); i++) {
                int ro = r.off() + (op.stored() == 1 ? 0 : i * b * b);
                if (op.transpose()) {
                    simd.transpose(r.f(), ro, b, b, b, turned, 0, b);
                    ro = 0;
                }
                int at = t0 * d + i * b;
                simd.mulAdd(rows, b, b, x.f(), x.off() + at, d, 1, turned, ro, b, y.f(), y.off() + at, d,
                        op.accumulate());
            }
        };
        return () -> cpu.forEach(rowItems * parts, body);
    }

    /// Items own blocks of R where there are enough of them; a shared R is summed from parts of the rows, in order.
    static Runnable rotateGrad(Cpu cpu, Simd simd, Op.BlockRotateGrad op, View x, View dY, View dR) {
        int b = op.b();
        int d = op.d();
        int blocks = d / Math.max(1, b);
        if (op.stored() > 1 || blocks == 1) {
            Cpu.Body body = (i, worker) -> {
                Arrays.fill(dR.f(), dR.off() + i * b * b, dR.off() + (i + 1) * b * b, 0f);
                for (int t = 0; t < op.N(); t += ROWS)
                    sum(simd, op, x, dY, t, i, dR.f(), dR.off() + i * b * b);
            };
            return () -> cpu.forEach(blocks, body);
        }
        int parts = Math.min(16, (op.N() + ROWS - 1) / ROWS);
        int chunks = (op.N() + ROWS - 1) / ROWS;
        Cpu.Body body = (part, worker) -> {
            float[] sums = cpu.shared(0, 0);
            Arrays.fill(sums, part * b * b, (part + 1) * b * b, 0f);
            for (int chunk = chunks * part / parts; chunk < chunks * (part + 1) / parts; chunk++)
                for (int i = 0; i < blocks; i++)
                    sum(simd, op, x, dY, chunk * ROWS, i, sums, part * b * b);
        };
        return () -> {
            float[] sums = cpu.shared(0, parts * b * b);
            cpu.forEach(parts, body);
            Arrays.fill(dR.f(), dR.off(), dR.off() + b * b, 0f);
            for (int part = 0; part < parts; part++)
                simd.add(dR.f(), dR.off(), sums, part * b * b, dR.f(), dR.off(), b * b);
        };
    }

    /// Adds `x[t,i]^T dY[t,i]` over the rows from t on.
    private static void sum(Simd simd, Op.BlockRotateGrad op, View x, View dY, int t, int i, float[] to, int at) {
        int b = op.b();
        int d = op.d();
        int from = t * d + i * b;
        simd.mulAdd(b, b, Math.min(ROWS, op.N() - t), x.f(), x.off() + from, 1, d, dY.f(), dY.off() + from, d, to, at,
                b, true);
    }

    static Runnable blockDiagonal(Cpu cpu, Op.BlockDiagonal op, View r, View dense) {
        int b = op.b();
        int d = op.d();
        return Columns.rows(cpu, d, d, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int at = dense.off() + t * d;
                Arrays.fill(dense.f(), at, at + d, 0f);
                int row = op.stored() == 1 ? t % b : t;
                System.arraycopy(r.f(), r.off() + row * b, dense.f(), at + t / b * b, b);
            }
        });
    }

    static Runnable blockDiagonalGrad(Op.BlockDiagonalGrad op, View dDense, View dR) {
        int b = op.b();
        return () -> {
            Arrays.fill(dR.f(), dR.off(), dR.off() + dR.length(), 0f);
            for (int t = 0; t < op.d(); t++) {
                int row = dR.off() + (op.stored() == 1 ? t % b : t) * b;
                int from = dDense.off() + t * op.d() + t / b * b;
                for (int j = 0; j < b; j++)
                    dR.f()[row + j] += dDense.f()[from + j];
            }
        };
    }

    static Runnable maskBlocks(Op.MaskBlocks op, View r, View mask) {
        int b = op.b();
        return () -> {
            for (int i = 0; i < op.blocks(); i++) {
                if (mask.i()[mask.off() + i] == 0)
                    continue;
                int at = r.off() + i * b * b;
                Arrays.fill(r.f(), at, at + b * b, 0f);
                if (op.identity())
                    for (int j = 0; j < b; j++)
                        r.f()[at + j * b + j] = 1f;
            }
        };
    }
}
