package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.ElementOps;
import java.util.Arrays;

/// Operations without any structure: equal sizes, element by element, in chunks that fit the near cache.
final class ElementCpu {
    /// Elements of one item: 64 KiB of floats.
    static final int CHUNK = 1 << 14;

    private ElementCpu() {
    }

    interface Range {
        void run(int from, int n);
    }

    /// A task that covers `0..n-1` in chunks.
    static Runnable chunks(Cpu cpu, int n, Range range) {
        Cpu.Body body = (item, worker) -> {
            int from = item * CHUNK;
            range.run(from, Math.min(CHUNK, n - from));
        };
        int items = (n + CHUNK - 1) / CHUNK;
        return () -> cpu.forEach(items, body);
    }

    static Runnable fill(Cpu cpu, ElementOps.Fill op, View x) {
        return chunks(cpu, x.length(),
                (i, n) -> Arrays.fill(x.f(), x.off() + i, x.off() + i + n, op.value()));
    }

    static Runnable copy(Cpu cpu, View x, View y) {
        return chunks(cpu, x.length(), (i, n) -> System.arraycopy(x.f(), x.off() + i, y.f(), y.off() + i, n));
    }

    static Runnable add(Cpu cpu, Simd simd, View x, View y, View out) {
        return chunks(cpu, x.length(),
                (i, n) -> simd.add(x.f(), x.off() + i, y.f(), y.off() + i, out.f(), out.off() + i, n));
    }

    static Runnable axpy(Cpu cpu, Simd simd, float a, View x, View y) {
        return chunks(cpu, x.length(), (i, n) -> simd.axpy(a, x.f(), x.off() + i, y.f(), y.off() + i, n));
    }

    static Runnable swiGlu(Cpu cpu, Simd simd, View gate, View up, View out) {
        return chunks(cpu, gate.length(), (i, n) -> simd.swiGlu(gate.f(), gate.off() + i, up.f(), up.off() + i,
                out.f(), out.off() + i, n));
    }

    static Runnable swiGluGrad(Cpu cpu, Simd simd, View gate, View up, View dOut, View dGate, View dUp) {
        return chunks(cpu, gate.length(), (i, n) -> simd.swiGluGrad(gate.f(), gate.off() + i, up.f(), up.off() + i,
                dOut.f(), dOut.off() + i, dGate.f(), dGate.off() + i, dUp.f(), dUp.off() + i, n));
    }

    static Runnable dropout(Cpu cpu, Simd simd, ElementOps.Dropout op, View x, View seed, View y) {
        // the decimal that was meant: 0.9f is off by 2e-8, 1 / (1 - 0.9f) by ten times that
        float scale = (float) (1 / (1 - Double.parseDouble(Float.toString(op.p()))));
        return chunks(cpu, x.length(), (from, n) -> simd.dropout(seed.i()[seed.off()], op.salt(), from, op.p(), scale,
                x.f(), x.off() + from, y.f(), y.off() + from, n, op.accumulate()));
    }
}
