package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.annotations.Reduce;
import uk.ac.manchester.tornado.api.types.BFloat16;
import uk.ac.manchester.tornado.api.types.arrays.DoubleArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.LongArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// One violation each of what [KernelLint] forbids, and one kernel without.
final class Violations {
    private static final float[] TABLE = {1, 2};

    private Violations() {
    }

    static void fine(KernelContext context, FloatArray x, int n, int b) {
        float[] tile = context.allocateFloatLocalArray(16);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            for (@Parallel int j = 0; j < n * b; j++) {
                tile[0] = x.get(i);
                if (tile[0] > x.get(j) || !(tile[0] < 1f) || i >= j)
                    x.set(i * n + j, tile[0] / b + (i >> 1) + i % b + Math.max(1, j));
            }
    }

    static void bareBound(FloatArray x, int n) {
        for (@Parallel int i = 0; i < n; i++)
            x.set(i, 0f);
    }

    static void swapsInLoop(FloatArray x, int n) {
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            int from = 0;
            int to = n;
            for (int s = 0; s < 3; s++) {
                x.set(to + i, x.get(from + i));
                int t = from;
                from = to;
                to = t;
            }
        }
    }

    static void unsignedShift(IntArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, x.get(i) >>> 1);
    }

    static void unsignedLongShift(LongArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, x.get(i) >>> 1);
    }

    static void startsAtOne(FloatArray x) {
        for (@Parallel int i = 1; i < 4; i++)
            x.set(i, 0f);
    }

    static void startsAnywhere(FloatArray x, int first) {
        for (@Parallel int i = first; i < 4; i++)
            x.set(i, 0f);
    }

    static void stepsByTwo(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i += 2)
            x.set(i, 0f);
    }

    static void stepsByArgument(FloatArray x, int s) {
        for (@Parallel int i = 0; i < 4; i += s)
            x.set(i, 0f);
    }

    static void twoNests(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, 0f);
        for (@Parallel int j = 0; j < 4; j++)
            x.set(j, x.get(j) + 1f);
    }

    static void fusedMultiplyAdd(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Math.fma(x.get(i), 2f, 1f));
    }

    static void rounds(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Math.round(x.get(i)));
    }

    static void halfFloats(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Float.float16ToFloat((short) i));
    }

    static void reinterprets(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Float.intBitsToFloat(i) * 2f);
    }

    static void asksForNaN(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Float.isNaN(x.get(i)) ? 0f : 1f);
    }

    static void asksForInfinity(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Float.isInfinite(x.get(i)) || !Float.isFinite(x.get(i)) ? 0f : 1f);
    }

    static void asksForNaNInDouble(DoubleArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Double.isNaN(x.get(i)) ? 0 : 1);
    }

    @SuppressWarnings("IdentityBinaryExpression") // is the violation
    static void comparesWithItself(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++) {
            float v = x.get(i);
            x.set(i, v != v ? 0f : v);
        }
    }

    static void atLeast(FloatArray x, float limit) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, x.get(i) >= limit ? 0f : 1f);
    }

    static void notAtLeast(FloatArray x, float limit) {
        for (@Parallel int i = 0; i < 4; i++)
            if (!(x.get(i) >= limit))
                x.set(i, 0f);
    }

    static void atMost(FloatArray x, float limit) {
        for (@Parallel int i = 0; i < 4; i++)
            if (x.get(i) <= limit)
                x.set(i, 0f);
    }

    static void atMostInDouble(DoubleArray x, double limit) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, x.get(i) <= limit ? 0 : 1);
    }

    static void roundsToHalfFloat(FloatArray x, ShortArray y) {
        for (@Parallel int i = 0; i < 4; i++)
            y.set(i, Float.floatToFloat16(x.get(i)));
    }

    static void takesBits(FloatArray x, IntArray y) {
        for (@Parallel int i = 0; i < 4; i++)
            y.set(i, Float.floatToRawIntBits(x.get(i)) + Float.floatToIntBits(x.get(i)));
    }

    static void remainderAboveZero(IntArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, Math.floorMod(x.get(i), 3));
    }

    static void fourLoops(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            for (@Parallel int j = 0; j < 4; j++)
                for (@Parallel int k = 0; k < 4; k++)
                    for (@Parallel int l = 0; l < 4; l++)
                        x.set(i + j + k + l, 0f);
    }

    static void runsDown(FloatArray x) {
        for (@Parallel int i = 3; i > -1; i--)
            x.set(i, 0f);
    }

    static void reduces(FloatArray x, @Reduce FloatArray sum) {
        for (@Parallel int i = 0; i < 4; i++)
            sum.set(0, sum.get(0) + x.get(i));
    }

    static void takesBoolean(FloatArray x, boolean negate) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, negate ? -1f : 1f);
    }

    static void readsStaticTable(FloatArray x) {
        for (@Parallel int i = 0; i < 2; i++)
            x.set(i, TABLE[i]);
    }

    static void localArrayLeaves(KernelContext context, FloatArray x) {
        float[] tile = context.allocateFloatLocalArray(16);
        x.set(context.globalIdx, first(tile));
    }

    static float first(float[] a) {
        return a[0];
    }

    static void dividesByPowerOfTwo(IntArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, x.get(i) / 8);
    }

    static void hashes(IntArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, x.get(i) * 0x7feb352d);
    }

    static void remainderOfPowerOfTwo(IntArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, x.get(i) % 256);
    }

    static void throwsUp(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            if (x.get(i) < 0f)
                throw new IllegalStateException();
    }

    static void privateArray(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++) {
            float[] sums = new float[4];
            x.set(i, sums[i]);
        }
    }

    static void step(FloatArray x) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, 0f);
    }

    static void concatenates(FloatArray x, int n) {
        for (@Parallel int i = 0; i < 4; i++)
            x.set(i, ("" + n).length());
    }

    static void packsBits(FloatArray x, IntArray y) {
        for (@Parallel int i = 0; i < 4; i++)
            y.set(i, BFloat16.bf16FromFloat(x.get(i)) << 16);
    }
}
