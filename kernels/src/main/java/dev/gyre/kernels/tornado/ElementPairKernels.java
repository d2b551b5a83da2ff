package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.BFloat16;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Pairs of BF16 numbers, the form in which activations are held where products are in BF16 ([PackedActivations]): the number with
/// the even index in the lower half of an int, as cuBLAS and the tensor cores have them in memory.
final class ElementPairKernels {
    private ElementPairKernels() {
    }

    /// Two numbers rounded to BF16 in an int. In longs, because TornadoVM keeps the bits in a variable of 16 bits until they
    /// are converted.
    static int pair(float low, float high) {
        long bits = BFloat16.bf16FromFloat(low) & 0xffffL | (long) BFloat16.bf16FromFloat(high) << 16;
        return (int) bits;
    }

    static float low(int pair) {
        return BFloat16.bf16ToFloat((short) pair);
    }

    static float high(int pair) {
        return BFloat16.bf16ToFloat((short) (pair >> 16));
    }

    /// `y = round(x)`, n pairs.
    static void toPairs(IntArray at, int slot, FloatArray x, IntArray y, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, pair(x.get(xAt + 2 * i), x.get(xAt + 2 * i + 1)));
    }

    /// `y = x`, n pairs.
    static void fromPairs(IntArray at, int slot, IntArray x, FloatArray y, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            int pair = x.get(xAt + i);
            y.set(yAt + 2 * i, low(pair));
            y.set(yAt + 2 * i + 1, high(pair));
        }
    }

    /// `y = x`, n pairs.
    static void copyPairs(IntArray at, int slot, IntArray x, IntArray y, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, x.get(xAt + i));
    }

    /// `out = x + y`, n pairs of y.
    static void addPairs(IntArray at, int slot, FloatArray x, IntArray y, FloatArray out, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            int two = y.get(yAt + i);
            out.set(outAt + 2 * i, x.get(xAt + 2 * i) + low(two));
            out.set(outAt + 2 * i + 1, x.get(xAt + 2 * i + 1) + high(two));
        }
    }

    private static float swiGlu(float gate, float up) {
        return gate * ElementKernels.sigmoid(gate) * up;
    }

    /// [ElementKernels#swiGlu], n pairs.
    static void swiGluToPairs(IntArray at, int slot, IntArray gate, IntArray up, IntArray out, int n) {
        int gateAt = at.get(slot);
        int upAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            int g = gate.get(gateAt + i);
            int u = up.get(upAt + i);
            out.set(outAt + i, pair(swiGlu(low(g), low(u)), swiGlu(high(g), high(u))));
        }
    }

    /// [ElementKernels#swiGlu], n pairs.
    static void swiGluFromPairs(IntArray at, int slot, IntArray gate, IntArray up, FloatArray out, int n) {
        int gateAt = at.get(slot);
        int upAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            int g = gate.get(gateAt + i);
            int u = up.get(upAt + i);
            out.set(outAt + 2 * i, swiGlu(low(g), low(u)));
            out.set(outAt + 2 * i + 1, swiGlu(high(g), high(u)));
        }
    }

    private static float dGate(float gate, float up, float d) {
        float s = ElementKernels.sigmoid(gate);
        return d * up * s * (1f + gate * (1f - s));
    }

    private static float dUp(float gate, float d) {
        return d * gate * ElementKernels.sigmoid(gate);
    }

    /// [ElementKernels#swiGluGradInPlace], n pairs; the gradient of the output is in `pairs` if `packed`, else in `dOut`.
    static void swiGluGradOfPairs(IntArray at, int slot, FloatArray dOut, IntArray pairs, IntArray gate, IntArray up,
            int n, int packed) {
        int dOutAt = at.get(slot);
        int pairsAt = at.get(slot + 1);
        int gateAt = at.get(slot + 2);
        int upAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            int g = gate.get(gateAt + i);
            int u = up.get(upAt + i);
            float d0;
            float d1;
            if (packed != 0) {
                int d = pairs.get(pairsAt + i);
                d0 = low(d);
                d1 = high(d);
            } else {
                d0 = dOut.get(dOutAt + 2 * i);
                d1 = dOut.get(dOutAt + 2 * i + 1);
            }
            gate.set(gateAt + i, pair(dGate(low(g), low(u), d0), dGate(high(g), high(u), d1)));
            up.set(upAt + i, pair(dUp(low(g), d0), dUp(high(g), d1)));
        }
    }
}
