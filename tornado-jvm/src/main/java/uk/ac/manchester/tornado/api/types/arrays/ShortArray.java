package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// A fixed number of shorts, zero at first.
public final class ShortArray extends TornadoNativeArray {
    private static final ValueLayout.OfShort LAYOUT = ValueLayout.JAVA_SHORT_UNALIGNED;

    /// Null for an array on a segment that somebody else made.
    private final short @Nullable [] values;
    private final MemorySegment segment;

    public ShortArray(int numberOfElements) {
        this(new short[numberOfElements]);
    }

    private ShortArray(short[] values) {
        this.values = values;
        this.segment = MemorySegment.ofArray(values);
    }

    private ShortArray(MemorySegment segment) {
        this.values = null;
        this.segment = segment;
    }

    /// An array whose header and elements are those of the segment, not copied.
    public static ShortArray fromSegmentShallow(MemorySegment segment) {
        return new ShortArray(segment.asSlice(ARRAY_HEADER));
    }

    public static ShortArray fromArray(short[] values) {
        ShortArray a = new ShortArray(values.length);
        MemorySegment.copy(values, 0, a.segment, LAYOUT, 0, values.length);
        return a;
    }

    public static ShortArray fromElements(short... values) {
        return fromArray(values);
    }

    public static ShortArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(LAYOUT));
    }

    public short[] toHeapArray() {
        return segment.toArray(LAYOUT);
    }

    public void set(int index, short value) {
        short[] v = values;
        if (v != null)
            v[index] = value;
        else
            segment.setAtIndex(LAYOUT, index, value);
    }

    public short get(int index) {
        short[] v = values;
        return v != null ? v[index] : segment.getAtIndex(LAYOUT, index);
    }

    public void init(short value) {
        short[] v = values;
        if (v != null)
            Arrays.fill(v, value);
        else
            for (int i = 0; i < getSize(); i++)
                set(i, value);
    }

    @Override
    public void clear() {
        init((short) 0);
    }

    @Override
    public int getSize() {
        return (int) (segment.byteSize() / Short.BYTES);
    }

    @Override
    public int getElementSize() {
        return Short.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return segment;
    }
}
