package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.ElementOps;
import java.util.Arrays;

/// Operations without any structure: equal sizes, element by element, in chunks that fit the near cache.
final class ElementCpu {
    /// Elements of one item: 64 KiB of floats.
    static final int CHUNK = 1 << 14;

    private ElementCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, ElementOps op, Operands of) {
        return switch (op) {
            case ElementOps.Fill o -> fill(pool, o, of.at(o.x()));
            case ElementOps.Copy o -> copy(pool, of.at(o.x()), of.at(o.y()));
            case ElementOps.Add o -> add(pool, simd, of.at(o.x()), of.at(o.y()), of.at(o.out()));
            case ElementOps.Axpy o -> axpy(pool, simd, (float) o.a(), of.at(o.x()), of.at(o.y()));
            case ElementOps.Scale o -> scale(pool, simd, (float) o.a(), of.at(o.x()), of.at(o.y()));
            case ElementOps.SwiGlu o -> swiGlu(pool, simd, of.at(o.gate()), of.at(o.up()), of.at(o.out()));
            case ElementOps.SwiGluGrad o -> swiGluGrad(pool, simd, of.at(o.gate()), of.at(o.up()), of.at(o.dOut()),
                    of.at(o.dGate()), of.at(o.dUp()));
            case ElementOps.Dropout o -> dropout(pool, simd, o, of.at(o.x()), of.at(o.seed()), of.at(o.y()));
        };
    }

    interface Range {
        void run(int from, int n);
    }

    /// A task that covers `0..n-1` in chunks.
    static Runnable chunks(ThreadPool pool, int n, Range range) {
        ThreadPool.Body body = (item, worker) -> {
            int from = item * CHUNK;
            range.run(from, Math.min(CHUNK, n - from));
        };
        int items = (n + CHUNK - 1) / CHUNK;
        return () -> pool.forEach(items, body);
    }

    static Runnable fill(ThreadPool pool, ElementOps.Fill op, Operand x) {
        return chunks(pool, x.length(),
                (i, n) -> Arrays.fill(x.f(), x.off() + i, x.off() + i + n, (float) op.value()));
    }

    static Runnable copy(ThreadPool pool, Operand x, Operand y) {
        return chunks(pool, x.length(), (i, n) -> System.arraycopy(x.f(), x.off() + i, y.f(), y.off() + i, n));
    }

    static Runnable add(ThreadPool pool, Simd simd, Operand x, Operand y, Operand out) {
        return chunks(pool, x.length(),
                (i, n) -> simd.elements().add(x.f(), x.off() + i, y.f(), y.off() + i, out.f(), out.off() + i, n));
    }

    static Runnable axpy(ThreadPool pool, Simd simd, float a, Operand x, Operand y) {
        return chunks(pool, x.length(), (i, n) -> simd.elements().axpy(a, x.f(), x.off() + i, y.f(), y.off() + i, n));
    }

    static Runnable scale(ThreadPool pool, Simd simd, float a, Operand x, Operand y) {
        return chunks(pool, x.length(), (i, n) -> simd.elements().scale(a, x.f(), x.off() + i, y.f(), y.off() + i, n));
    }

    static Runnable swiGlu(ThreadPool pool, Simd simd, Operand gate, Operand up, Operand out) {
        return chunks(pool, gate.length(),
                (i, n) -> simd.elements().swiGlu(gate.f(), gate.off() + i, up.f(), up.off() + i,
                        out.f(), out.off() + i, n));
    }

    static Runnable swiGluGrad(ThreadPool pool, Simd simd, Operand gate, Operand up, Operand dOut, Operand dGate,
            Operand dUp) {
        return chunks(pool, gate.length(),
                (i, n) -> simd.elements().swiGluGrad(gate.f(), gate.off() + i, up.f(), up.off() + i,
                        dOut.f(), dOut.off() + i, dGate.f(), dGate.off() + i, dUp.f(), dUp.off() + i, n));
    }

    static Runnable dropout(ThreadPool pool, Simd simd, ElementOps.Dropout op, Operand x, Operand seed, Operand y) {
        float p = (float) op.p();
        // of the double: 0.9f is off by 2e-8, 1 / (1 - 0.9f) by ten times that
        float scale = (float) (1 / (1 - op.p()));
        return chunks(pool, x.length(),
                (from, n) -> simd.elements().dropout(seed.i()[seed.off()], op.salt(), from, p, scale,
                        x.f(), x.off() + from, y.f(), y.off() + from, n, op.accumulate()));
    }
}
