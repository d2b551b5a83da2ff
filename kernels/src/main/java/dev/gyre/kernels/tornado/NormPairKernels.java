package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ElementPairKernels.pair;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [NormKernels] whose results are in BF16.
final class NormPairKernels {
    private NormPairKernels() {
    }

    /// [NormKernels#normalise], C even.
    static void normaliseToPairs(IntArray at, int slot, FloatArray x, FloatArray rstd, FloatArray weight, IntArray y,
            int N, int C, float offset) {
        int xAt = at.get(slot);
        int rstdAt = at.get(slot + 1);
        int weightAt = at.get(slot + 2);
        int yAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < N * (C >> 1); i++) {
            float r = rstd.get(rstdAt + i / (C >> 1));
            int w = weightAt + i % (C >> 1) * 2;
            int v = xAt + 2 * i;
            y.set(yAt + i, pair(x.get(v) * r * (offset + weight.get(w)),
                    x.get(v + 1) * r * (offset + weight.get(w + 1))));
        }
    }
}
