package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The row reductions of [NormKernels] for GPUs, with a work group per row: each item sums every GROUP-th element, so that
/// adjacent items read adjacent elements, and the sums are added in local memory.
final class NormRowKernels {
    /// Items that share a row.
    static final int GROUP = 64;

    private NormRowKernels() {
    }

    /// [NormKernels#inverseRms]
    static void inverseRmsOfRow(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray rstd, int C,
            float eps) {
        int xAt = at.get(slot);
        int rstdAt = at.get(slot + 1);
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
        if (lane == 0)
            rstd.set(rstdAt + row, 1f / TornadoMath.sqrt(part[0] / C + eps));
    }

    /// [NormKernels#meanOfProduct]
    static void meanOfRowProduct(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray weight,
            FloatArray dY, FloatArray mean, int C, float offset) {
        int xAt = at.get(slot);
        int weightAt = at.get(slot + 1);
        int dYAt = at.get(slot + 2);
        int meanAt = at.get(slot + 3);
        float[] part = context.allocateFloatLocalArray(GROUP);
        int lane = context.localIdx;
        int row = context.groupIdx;
        float sum = 0f;
        for (int c = lane; c < C; c += GROUP)
            sum += dY.get(dYAt + row * C + c) * (offset + weight.get(weightAt + c)) * x.get(xAt + row * C + c);
        part[lane] = sum;
        context.localBarrier();
        for (int s = GROUP / 2; s > 0; s >>= 1) {
            if (lane < s)
                part[lane] += part[lane + s];
            context.localBarrier();
        }
        if (lane == 0)
            mean.set(meanAt + row, part[0] / C);
    }
}
