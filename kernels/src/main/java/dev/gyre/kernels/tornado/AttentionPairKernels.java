package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ElementPairKernels.high;
import static dev.gyre.kernels.tornado.ElementPairKernels.low;
import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Of [AttentionKernels], what has a form of its own for activations in BF16.
final class AttentionPairKernels {
    private AttentionPairKernels() {
    }

    /// [AttentionKernels#outputDot], D even.
    static void outputDotOfPairs(IntArray at, int slot, IntArray out, IntArray dOut, FloatArray delta, int rows,
            int D) {
        int outAt = at.get(slot);
        int dOutAt = at.get(slot + 1);
        int deltaAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (rows & ALL); i++) {
            float sum = 0f;
            for (int k = i * (D >> 1); k < (i + 1) * (D >> 1); k++) {
                int o = out.get(outAt + k);
                int d = dOut.get(dOutAt + k);
                sum += low(o) * low(d) + high(o) * high(d);
            }
            delta.set(deltaAt + i, sum);
        }
    }
}
