package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.ActivationOps;

/// Activation functions, element by element, in chunks that fit the near cache.
final class ActivationCpu {
    private ActivationCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, ActivationOps op, Operands of) {
        return switch (op) {
            case ActivationOps.Activate o -> activate(pool, simd, o, of.at(o.x()), of.at(o.y()));
            case ActivationOps.ActivateGrad o ->
                    activateGrad(pool, simd, o, of.at(o.x()), of.at(o.dY()), of.at(o.dX()));
            case ActivationOps.Gated o -> gated(pool, simd, o, of.at(o.gate()), of.at(o.up()), of.at(o.out()));
            case ActivationOps.GatedGrad o -> gatedGrad(pool, simd, o, of.at(o.gate()), of.at(o.up()),
                    of.at(o.dOut()), of.at(o.dGate()), of.at(o.dUp()));
        };
    }

    static Runnable activate(ThreadPool pool, Simd simd, ActivationOps.Activate op, Operand x, Operand y) {
        return ElementCpu.chunks(pool, x.length(),
                (i, n) -> simd.activations().value(op.f(), x.f(), x.off() + i, y.f(), y.off() + i, n));
    }

    static Runnable activateGrad(ThreadPool pool, Simd simd, ActivationOps.ActivateGrad op, Operand x, Operand dY,
            Operand dX) {
        return ElementCpu.chunks(pool, x.length(), (i, n) -> simd.activations().slope(op.f(), x.f(), x.off() + i,
                dY.f(), dY.off() + i, dX.f(), dX.off() + i, n));
    }

    static Runnable gated(ThreadPool pool, Simd simd, ActivationOps.Gated op, Operand gate, Operand up, Operand out) {
        return ElementCpu.chunks(pool, gate.length(), (i, n) -> {
            simd.activations().value(op.f(), gate.f(), gate.off() + i, out.f(), out.off() + i, n);
            simd.elements().mul(1f, out.f(), out.off() + i, up.f(), up.off() + i, out.f(), out.off() + i, n);
        });
    }

    /// Both factors are read before either result, which may take their place, is written.
    static Runnable gatedGrad(ThreadPool pool, Simd simd, ActivationOps.GatedGrad op, Operand gate, Operand up,
            Operand dOut, Operand dGate, Operand dUp) {
        int length = gate.length();
        ThreadPool.Body body = (item, worker) -> {
            int i = item * ElementCpu.CHUNK;
            int n = Math.min(ElementCpu.CHUNK, length - i);
            float[] w = pool.scratch(worker, 0, 2 * ElementCpu.CHUNK);
            int product = ElementCpu.CHUNK;
            simd.activations().value(op.f(), gate.f(), gate.off() + i, w, 0, n);
            simd.elements().mul(1f, dOut.f(), dOut.off() + i, up.f(), up.off() + i, w, product, n);
            simd.elements().mul(1f, dOut.f(), dOut.off() + i, w, 0, dUp.f(), dUp.off() + i, n);
            simd.activations().slope(op.f(), gate.f(), gate.off() + i, w, product, dGate.f(), dGate.off() + i, n);
        };
        int items = (length + ElementCpu.CHUNK - 1) / ElementCpu.CHUNK;
        return () -> pool.forEach(items, body);
    }
}
