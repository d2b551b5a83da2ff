package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ElementPairKernels.high;
import static dev.gyre.kernels.tornado.ElementPairKernels.low;
import static dev.gyre.kernels.tornado.ElementPairKernels.pair;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [ColumnKernels] of activations in BF16.
final class ColumnPairKernels {
    private ColumnPairKernels() {
    }

    /// [ColumnKernels#addBias], C even.
    static void addBiasToPairs(IntArray at, int slot, FloatArray bias, IntArray y, int N, int C) {
        int biasAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < N * (C >> 1); i++) {
            int b = biasAt + i % (C >> 1) * 2;
            int pair = y.get(yAt + i);
            y.set(yAt + i, pair(low(pair) + bias.get(b), high(pair) + bias.get(b + 1)));
        }
    }
}
