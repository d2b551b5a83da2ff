package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Rotary position embedding.
final class RopeKernels {
    private RopeKernels() {
    }

    /// Rotates the pairs (j, j + D/2) of each head of x (N, heads*D) in place by the angle whose cosine and sine are in row
    /// `positions[n]` of cos, sin (P, D/2); `direction` is 1, or -1 for the inverse.
    static void rope(IntArray at, int slot, FloatArray cos, FloatArray sin, IntArray positions, FloatArray x, int N,
            int heads, int D, float direction) {
        int cosAt = at.get(slot);
        int sinAt = at.get(slot + 1);
        int positionsAt = at.get(slot + 2);
        int xAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < N * heads * (D >> 1); i++) {
            int j = i % (D >> 1);
            int head = i / (D >> 1);
            int angle = positions.get(positionsAt + head / heads) * (D >> 1) + j;
            int lo = xAt + head * D + j;
            int hi = lo + (D >> 1);
            float a = x.get(lo);
            float b = x.get(hi);
            float c = cos.get(cosAt + angle);
            float s = direction * sin.get(sinAt + angle);
            x.set(lo, a * c - b * s);
            x.set(hi, b * c + a * s);
        }
    }
}
