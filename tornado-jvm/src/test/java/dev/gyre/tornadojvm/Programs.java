package dev.gyre.tornadojvm;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Kernels for the tests.
final class Programs {
    private Programs() {
    }

    static void scale(FloatArray x, FloatArray y, float a, int n) {
        for (@Parallel int i = 0; i < n; i++)
            y.set(i, a * x.get(i));
    }

    static void increment(FloatArray x, int n) {
        for (@Parallel int i = 0; i < n; i++)
            x.set(i, x.get(i) + 1f);
    }

    static void addTo(FloatArray y, FloatArray x, int n) {
        for (@Parallel int i = 0; i < n; i++)
            y.set(i, y.get(i) + x.get(i));
    }

    static void everySecond(FloatArray y, int n) {
        for (@Parallel int i = 0; i < n; i++)
            if (i % 2 == 0)
                y.set(i, 1f);
    }

    /// Reads `a` and `table` through a helper and inside a conditional expression, writes only `out`, ignores `unused`.
    static void tangled(FloatArray a, IntArray table, FloatArray out, FloatArray unused, long n, double scale) {
        for (@Parallel int i = 0; i < n; i++)
            out.set(i, i < n - 1 ? (float) (scale * pick(a, table, i)) : i > 3 ? 0f : -1f);
    }

    private static float pick(FloatArray from, IntArray by, int i) {
        return from.get(by.get(i));
    }

    /// Sums groups of work items in local memory.
    static void groupSums(KernelContext context, FloatArray x, FloatArray sums, int size) {
        float[] local = context.allocateFloatLocalArray(size);
        int l = context.localIdx;
        local[l] = x.get(context.globalIdx);
        for (int stride = size >> 1; stride > 0; stride >>= 1) {
            context.localBarrier();
            if (l < stride)
                local[l] += local[l + stride];
        }
        if (l == 0)
            sums.set(context.groupIdx, local[0]);
    }

    static void someWait(KernelContext context, FloatArray x) {
        if (context.localIdx > 0)
            context.localBarrier();
        x.set(context.globalIdx, 1f);
    }
}
