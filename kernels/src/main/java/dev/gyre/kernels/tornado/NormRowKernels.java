package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [NormKernels] for GPUs, with a work group per row: each item sums every GROUP-th element, so that
/// adjacent items read adjacent elements, and the sums are added in local memory.
final class NormRowKernels {
    /// Items that share a row.
    static final int GROUP = 64;

    private NormRowKernels() {
    }

    /// [NormKernels#inverseRms] and [NormKernels#normalise].
    static void normaliseRow(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray weight,
            FloatArray rstd, FloatArray y, int C, float eps, float offset) {
        int xAt = at.get(slot);
        int weightAt = at.get(slot + 1);
        int rstdAt = at.get(slot + 2);
        int yAt = at.get(slot + 3);
        float[] part = context.allocateFloatLocalArray(GROUP);
        int lane = context.localIdx;
        int row = context.groupIdx;
        float sum = 0f;
        for (int c = lane; c < C; c += GROUP) {
            float v = x.get(xAt + row * C + c);
            sum += v * v;
        }
        part[lane] = sum;
        context.localBarrier();
        for (int s = GROUP / 2; s > 0; s >>= 1) {
            if (lane < s)
                part[lane] += part[lane + s];
            context.localBarrier();
        }
        float r = 1f / TornadoMath.sqrt(part[0] / C + eps);
        if (lane == 0)
            rstd.set(rstdAt + row, r);
        for (int c = lane; c < C; c += GROUP)
            y.set(yAt + row * C + c, x.get(xAt + row * C + c) * r * (offset + weight.get(weightAt + c)));
    }

    /// [NormKernels#meanOfProduct] and [NormKernels#normaliseGrad]: what is read again is still in a cache.
    static void normaliseRowGrad(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray rstd,
            FloatArray weight, FloatArray dY, FloatArray dX, int C, int accumulate, float offset) {
        int row = context.groupIdx;
        int xAt = at.get(slot) + row * C;
        int weightAt = at.get(slot + 2);
        int dYAt = at.get(slot + 3) + row * C;
        int dXAt = at.get(slot + 4) + row * C;
        float r = rstd.get(at.get(slot + 1) + row);
        float[] part = context.allocateFloatLocalArray(GROUP);
        int lane = context.localIdx;
        float sum = 0f;
        for (int c = lane; c < C; c += GROUP)
            sum += dY.get(dYAt + c) * (offset + weight.get(weightAt + c)) * x.get(xAt + c);
        part[lane] = sum;
        context.localBarrier();
        for (int s = GROUP / 2; s > 0; s >>= 1) {
            if (lane < s)
                part[lane] += part[lane + s];
            context.localBarrier();
        }
        float mean = part[0] / C;
        for (int c = lane; c < C; c += GROUP) {
            float g = dY.get(dYAt + c) * (offset + weight.get(weightAt + c));
            float old = accumulate != 0 ? dX.get(dXAt + c) : 0f;
            dX.set(dXAt + c, old + r * (g - x.get(xAt + c) * r * r * mean));
        }
    }
}
