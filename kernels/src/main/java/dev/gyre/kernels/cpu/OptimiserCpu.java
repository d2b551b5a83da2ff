package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.OptimiserOps;

/// The optimiser: gradient norm and AdamW.
final class OptimiserCpu {
    private OptimiserCpu() {
    }

    static Runnable gradNorm(Cpu cpu, Simd simd, View grad, View norm) {
        int n = grad.length();
        int chunk = ElementCpu.CHUNK;
        int parts = (n + chunk - 1) / chunk;
        double[] sums = new double[parts];
        Cpu.Body body = (part, worker) -> sums[part] = simd.sumSquares(grad.f(), grad.off() + part * chunk,
                Math.min(chunk, n - part * chunk));
        return () -> {
            cpu.forEach(parts, body);
            double s = 0;
            for (double part : sums)
                s += part;
            norm.f()[norm.off()] = (float) Math.sqrt(s);
        };
    }

    static Runnable adamW(Cpu cpu, Simd simd, OptimiserOps.AdamW op, View param, View grad, View m, View v, View hp,
            View norm) {
        return ElementCpu.chunks(cpu, param.length(), (i, n) -> {
            float[] h = hp.f();
            int o = hp.off();
            float lr = h[o];
            float maxNorm = h[o + 6];
            float clip = maxNorm > 0 ? Math.min(1f, maxNorm / (norm.f()[norm.off()] + 1e-6f)) : 1f;
            float shrink = op.decay() ? 1 - lr * h[o + 7] : 1f;
            simd.adamW(param.f(), param.off() + i, grad.f(), grad.off() + i, m.f(), m.off() + i, v.f(), v.off() + i, n,
                    clip, h[o + 1], h[o + 2], shrink, lr / h[o + 4], h[o + 5], h[o + 3]);
        });
    }
}
