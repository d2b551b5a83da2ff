package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Reductions along rows for GPUs: a work group takes a row, its items take every GROUP-th element, so that neighbours fetch
/// neighbours, and local memory adds up what they found. [NormKernels] and [TokenKernels] have the same with an item a row.
final class RowKernels {
    /// Items that share a row.
    static final int GROUP = 64;

    private RowKernels() {
    }

    /// [NormKernels#inverseRms]
    static void inverseRmsOfRow(KernelContext context, FloatArray x, FloatArray rstd, IntArray at, int C, float eps) {
        int xAt = at.get(0);
        int rstdAt = at.get(1);
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
    static void meanOfRowProduct(KernelContext context, FloatArray x, FloatArray weight, FloatArray dY, FloatArray mean,
            IntArray at, int C) {
        int xAt = at.get(0);
        int weightAt = at.get(1);
        int dYAt = at.get(2);
        float[] part = context.allocateFloatLocalArray(GROUP);
        int lane = context.localIdx;
        int row = context.groupIdx;
        float sum = 0f;
        for (int c = lane; c < C; c += GROUP)
            sum += dY.get(dYAt + row * C + c) * weight.get(weightAt + c) * x.get(xAt + row * C + c);
        part[lane] = sum;
        context.localBarrier();
        for (int s = GROUP / 2; s > 0; s >>= 1) {
            if (lane < s)
                part[lane] += part[lane + s];
            context.localBarrier();
        }
        if (lane == 0)
            mean.set(row, part[0] / C);
    }

    /// [TokenKernels#lossOfRows]
    static void lossOfRow(KernelContext context, FloatArray logits, IntArray labels, FloatArray rowLoss, FloatArray lse,
            IntArray at, int V, int ignore) {
        int logitsAt = at.get(0);
        int labelsAt = at.get(1);
        int rowLossAt = at.get(2);
        float[] part = context.allocateFloatLocalArray(GROUP);
        int lane = context.localIdx;
        int row = context.groupIdx;
        int from = logitsAt + row * V;
        float max = -3.4e38f;
        for (int v = lane; v < V; v += GROUP)
            max = TornadoMath.max(max, logits.get(from + v));
        part[lane] = max;
        context.localBarrier();
        for (int s = GROUP / 2; s > 0; s >>= 1) {
            if (lane < s)
                part[lane] = TornadoMath.max(part[lane], part[lane + s]);
            context.localBarrier();
        }
        max = part[0];
        context.localBarrier();
        float sum = 0f;
        for (int v = lane; v < V; v += GROUP)
            sum += TornadoMath.exp(logits.get(from + v) - max);
        part[lane] = sum;
        context.localBarrier();
        for (int s = GROUP / 2; s > 0; s >>= 1) {
            if (lane < s)
                part[lane] += part[lane + s];
            context.localBarrier();
        }
        if (lane == 0) {
            int label = labels.get(labelsAt + row);
            float l = max + TornadoMath.log(part[0]);
            lse.set(row, l);
            rowLoss.set(rowLossAt + row, label == ignore ? 0f : l - logits.get(from + TornadoMath.max(label, 0)));
        }
    }
}
