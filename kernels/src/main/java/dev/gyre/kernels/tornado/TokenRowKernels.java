package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The row reduction of [TokenKernels#lossOfRows] for GPUs, with a work group per row, as in [NormRowKernels].
final class TokenRowKernels {
    /// Items that share a row.
    static final int GROUP = 64;

    private TokenRowKernels() {
    }

    /// [TokenKernels#lossOfRows]
    static void lossOfRow(KernelContext context, IntArray at, int slot, FloatArray logits, IntArray labels,
            FloatArray rowLoss, FloatArray lse, int V, int ignore) {
        int logitsAt = at.get(slot);
        int labelsAt = at.get(slot + 1);
        int rowLossAt = at.get(slot + 2);
        int lseAt = at.get(slot + 3);
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
            lse.set(lseAt + row, l);
            rowLoss.set(rowLossAt + row, label == ignore ? 0f : l - logits.get(from + TornadoMath.max(label, 0)));
        }
    }
}
