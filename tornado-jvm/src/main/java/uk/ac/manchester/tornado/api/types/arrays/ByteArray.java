package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// A fixed number of bytes, zero at first.
public final class ByteArray extends TornadoNativeArray {
    private static final ValueLayout.OfByte LAYOUT = ValueLayout.JAVA_BYTE;

    /// Null for an array on a segment that somebody else made.
    private final byte @Nullable [] values;
    private final MemorySegment segment;

    public ByteArray(int numberOfElements) {
        this(new byte[numberOfElements]);
    }

    private ByteArray(byte[] values) {
        this.values = values;
        this.segment = MemorySegment.ofArray(values);
    }

    private ByteArray(MemorySegment segment) {
        this.values = null;
        this.segment = segment;
    }

    /// An array whose header and elements are those of the segment, not copied.
    public static ByteArray fromSegmentShallow(MemorySegment segment) {
        return new ByteArray(segment.asSlice(ARRAY_HEADER));
    }

    public static ByteArray fromArray(byte[] values) {
        ByteArray a = new ByteArray(values.length);
        MemorySegment.copy(values, 0, a.segment, LAYOUT, 0, values.length);
        return a;
    }

    public static ByteArray fromElements(byte... values) {
        return fromArray(values);
    }

    public static ByteArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(LAYOUT));
    }

    public byte[] toHeapArray() {
        return segment.toArray(LAYOUT);
    }

    public void set(int index, byte value) {
        byte[] v = values;
        if (v != null)
            v[index] = value;
        else
            segment.setAtIndex(LAYOUT, index, value);
    }

    public byte get(int index) {
        byte[] v = values;
        return v != null ? v[index] : segment.getAtIndex(LAYOUT, index);
    }

    public void init(byte value) {
        byte[] v = values;
        if (v != null)
            Arrays.fill(v, value);
        else
            for (int i = 0; i < getSize(); i++)
                set(i, value);
    }

    @Override
    public void clear() {
        init((byte) 0);
    }

    @Override
    public int getSize() {
        return (int) (segment.byteSize() / Byte.BYTES);
    }

    @Override
    public int getElementSize() {
        return Byte.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return segment;
    }
}
