package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ElementPairKernels.high;
import static dev.gyre.kernels.tornado.ElementPairKernels.low;
import static dev.gyre.kernels.tornado.ElementPairKernels.pair;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [RopeKernels] of activations in BF16.
final class RopePairKernels {
    private RopePairKernels() {
    }

    /// [RopeKernels#rope] of an even number of pairs of a head.
    static void ropeOfPairs(IntArray at, int slot, FloatArray cos, FloatArray sin, IntArray positions, IntArray x,
            int N, int heads, int D, int pairs, float direction) {
        int cosAt = at.get(slot);
        int sinAt = at.get(slot + 1);
        int positionsAt = at.get(slot + 2);
        int xAt = at.get(slot + 3);
        int columns = pairs >> 1;
        for (@Parallel int i = 0; i < N * heads * (pairs >> 1); i++) {
            int j = i % columns;
            int head = i / columns;
            int angle = positions.get(positionsAt + head / heads) * pairs + 2 * j;
            int lo = xAt + head * (D >> 1) + j;
            int hi = lo + columns;
            int a = x.get(lo);
            int b = x.get(hi);
            float c0 = cos.get(cosAt + angle);
            float c1 = cos.get(cosAt + angle + 1);
            float s0 = direction * sin.get(sinAt + angle);
            float s1 = direction * sin.get(sinAt + angle + 1);
            x.set(lo, pair(low(a) * c0 - low(b) * s0, high(a) * c1 - high(b) * s1));
            x.set(hi, pair(low(b) * c0 + low(a) * s0, high(b) * c1 + high(a) * s1));
        }
    }
}
