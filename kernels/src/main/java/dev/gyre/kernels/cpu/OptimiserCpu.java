package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.OptimiserOps;

/// The optimiser: gradient norm and AdamW.
final class OptimiserCpu {
    private OptimiserCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, OptimiserOps op, Operands of) {
        return switch (op) {
            case OptimiserOps.GradNorm o -> gradNorm(pool, simd, of.at(o.grad()), of.at(o.norm()));
            case OptimiserOps.AdamW o -> adamW(pool, simd, o, of.at(o.param()), of.at(o.grad()), of.at(o.m()),
                    of.at(o.v()), of.at(o.hp()), of.at(o.norm()));
        };
    }

    static Runnable gradNorm(ThreadPool pool, Simd simd, Operand grad, Operand norm) {
        int n = grad.length();
        int chunk = ElementCpu.CHUNK;
        int parts = (n + chunk - 1) / chunk;
        double[] sums = new double[parts];
        ThreadPool.Body body =
                (part, worker) -> sums[part] = simd.elements().sumSquares(grad.f(), grad.off() + part * chunk,
                        Math.min(chunk, n - part * chunk));
        return () -> {
            pool.forEach(parts, body);
            double s = 0;
            for (double part : sums)
                s += part;
            norm.f()[norm.off()] = (float) Math.sqrt(s);
        };
    }

    static Runnable adamW(ThreadPool pool, Simd simd, OptimiserOps.AdamW op, Operand param, Operand grad, Operand m,
            Operand v, Operand hp, Operand norm) {
        return ElementCpu.chunks(pool, param.length(), (i, n) -> {
            float[] h = hp.f();
            int o = hp.off();
            float lr = h[o];
            float maxNorm = h[o + 6];
            float clip = maxNorm > 0 ? Math.min(1f, maxNorm / (norm.f()[norm.off()] + 1e-6f)) : 1f;
            float shrink = op.decay() ? 1 - lr * h[o + 7] : 1f;
            simd.elements().adamW(param.f(), param.off() + i, grad.f(), grad.off() + i, m.f(), m.off() + i, v.f(),
                    v.off() + i, n, clip, h[o + 1], h[o + 2], shrink, lr / h[o + 4], h[o + 5], h[o + 3]);
        });
    }
}
