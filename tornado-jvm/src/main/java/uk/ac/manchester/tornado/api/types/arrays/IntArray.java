package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// A fixed number of ints, zero at first.
public final class IntArray extends TornadoNativeArray {
    private static final ValueLayout.OfInt LAYOUT = ValueLayout.JAVA_INT_UNALIGNED;

    /// Null for an array on a segment that somebody else made.
    private final int @Nullable [] values;
    private final MemorySegment segment;

    public IntArray(int numberOfElements) {
        this(new int[numberOfElements]);
    }

    private IntArray(int[] values) {
        this.values = values;
        this.segment = MemorySegment.ofArray(values);
    }

    private IntArray(MemorySegment segment) {
        this.values = null;
        this.segment = segment;
    }

    /// An array whose header and elements are those of the segment, not copied.
    public static IntArray fromSegmentShallow(MemorySegment segment) {
        return new IntArray(segment.asSlice(ARRAY_HEADER));
    }

    public static IntArray fromArray(int[] values) {
        IntArray a = new IntArray(values.length);
        MemorySegment.copy(values, 0, a.segment, LAYOUT, 0, values.length);
        return a;
    }

    public static IntArray fromElements(int... values) {
        return fromArray(values);
    }

    public static IntArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(LAYOUT));
    }

    public int[] toHeapArray() {
        return segment.toArray(LAYOUT);
    }

    public void set(int index, int value) {
        int[] v = values;
        if (v != null)
            v[index] = value;
        else
            segment.setAtIndex(LAYOUT, index, value);
    }

    public int get(int index) {
        int[] v = values;
        return v != null ? v[index] : segment.getAtIndex(LAYOUT, index);
    }

    public void init(int value) {
        int[] v = values;
        if (v != null)
            Arrays.fill(v, value);
        else
            for (int i = 0; i < getSize(); i++)
                set(i, value);
    }

    @Override
    public void clear() {
        init(0);
    }

    @Override
    public int getSize() {
        return (int) (segment.byteSize() / Integer.BYTES);
    }

    @Override
    public int getElementSize() {
        return Integer.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return segment;
    }
}
