package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ElementPairKernels.pair;
import static dev.gyre.kernels.tornado.NormRowKernels.GROUP;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [NormRowKernels] whose results are in BF16.
final class NormPairKernels {
    private NormPairKernels() {
    }

    /// [NormRowKernels#normaliseRow], C even.
    static void normaliseRowToPairs(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray weight,
            FloatArray rstd, IntArray y, int C, float eps, float offset) {
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
        for (int c = lane; c < C >> 1; c += GROUP) {
            int from = xAt + row * C + 2 * c;
            int w = weightAt + 2 * c;
            y.set(yAt + row * (C >> 1) + c, pair(x.get(from) * r * (offset + weight.get(w)),
                    x.get(from + 1) * r * (offset + weight.get(w + 1))));
        }
    }
}
