package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// Kernels that prepare the arrays of a session and move what the host reads and writes through small arrays, so that no large
/// array is ever copied, or touched on the host, as a whole.
final class ElementTransferKernels {
    /// Work items that fill an array, each every so manieth element.
    static final int ITEMS = 1 << 20;

    private ElementTransferKernels() {
    }

    /// Fills x with `in[0]`, but elements `at[0] .. at[1] - 1` with zeros. An array that a graph only writes is allocated
    /// write-only; `at[2]` is 0, but since it might not be, x is allocated for reading too.
    static void fillFloats(IntArray at, int slot, FloatArray x, FloatArray in, int n, int items) {
        int from = at.get(slot);
        int to = at.get(slot + 1);
        int keep = at.get(slot + 2);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            for (int k = i; k < n; k += items) {
                float fresh = k >= from && k < to ? 0f : in.get(0);
                x.set(k, keep != 0 ? x.get(k) : fresh);
            }
    }

    /// Fills x with `at[0]`; `at[1]` as `at[2]` in [#fillFloats].
    static void fillShorts(IntArray at, int slot, ShortArray x, int n, int items) {
        int fresh = at.get(slot);
        int keep = at.get(slot + 1);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            for (int k = i; k < n; k += items)
                x.set(k, keep != 0 ? x.get(k) : (short) fresh);
    }

    /// [#fillShorts] for ints.
    static void fillInts(IntArray at, int slot, IntArray x, int n, int items) {
        int fresh = at.get(slot);
        int keep = at.get(slot + 1);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            for (int k = i; k < n; k += items)
                x.set(k, keep != 0 ? x.get(k) : fresh);
    }

    /// [#fillShorts] for bytes.
    static void fillBytes(IntArray at, int slot, ByteArray x, int n, int items) {
        int fresh = at.get(slot);
        int keep = at.get(slot + 1);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            for (int k = i; k < n; k += items)
                x.set(k, keep != 0 ? x.get(k) : (byte) fresh);
    }

    /// `x[at[0] + i] = from[i]` for i below `at[1]`.
    static void putFloats(IntArray at, int slot, FloatArray x, FloatArray from, int items) {
        int xAt = at.get(slot);
        int n = at.get(slot + 1);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            if (i < n)
                x.set(xAt + i, from.get(i));
    }

    static void putShorts(IntArray at, int slot, ShortArray x, ShortArray from, int items) {
        int xAt = at.get(slot);
        int n = at.get(slot + 1);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            if (i < n)
                x.set(xAt + i, from.get(i));
    }

    static void putBytes(IntArray at, int slot, ByteArray x, ByteArray from, int items) {
        int xAt = at.get(slot);
        int n = at.get(slot + 1);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            if (i < n)
                x.set(xAt + i, from.get(i));
    }

    /// `to[i] = x[at[0] + i]` for i below `at[1]`.
    static void getFloats(IntArray at, int slot, FloatArray x, FloatArray to, int items) {
        int xAt = at.get(slot);
        int n = at.get(slot + 1);
        for (@Parallel int i = 0; i < (items & ALL); i++)
            if (i < n)
                to.set(i, x.get(xAt + i));
    }
}
