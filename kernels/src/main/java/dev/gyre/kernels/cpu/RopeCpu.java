package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.RopeOps;

/// Rotary position embedding.
final class RopeCpu {
    private RopeCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, RopeOps op, Operands of) {
        return switch (op) {
            case RopeOps.Rope o ->
                    rope(pool, simd, o, of.at(o.x()), of.at(o.cos()), of.at(o.sin()), of.at(o.positions()));
        };
    }

    static Runnable rope(ThreadPool pool, Simd simd, RopeOps.Rope op, Operand x, Operand cos, Operand sin,
            Operand positions) {
        int D = op.D();
        int C = op.heads() * D;
        int half = op.R() / 2;
        float sign = op.inverse() ? -1f : 1f;
        int P = cos.length() / half;
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int pos = positions.i()[positions.off() + t];
                if (pos < 0 || pos >= P)
                    throw new IllegalArgumentException("position " + pos + " at row " + t
                            + " is outside the rotary tables of " + P + " positions (" + op.cos() + ")");
                for (int h = 0; h < op.heads(); h++)
                    simd.elements().rope(x.f(), x.off() + t * C + h * D, cos.f(), cos.off() + pos * half, sin.f(),
                            sin.off() + pos * half, half, sign);
            }
        });
    }
}
