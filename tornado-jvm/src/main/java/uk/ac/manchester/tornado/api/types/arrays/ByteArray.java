package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A fixed number of bytes, zero at first.
public final class ByteArray extends TornadoNativeArray {
    private final byte[] values;

    public ByteArray(int numberOfElements) {
        values = new byte[numberOfElements];
    }

    public static ByteArray fromArray(byte[] values) {
        ByteArray a = new ByteArray(values.length);
        System.arraycopy(values, 0, a.values, 0, values.length);
        return a;
    }

    public static ByteArray fromElements(byte... values) {
        return fromArray(values);
    }

    public static ByteArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(ValueLayout.JAVA_BYTE));
    }

    public byte[] toHeapArray() {
        return values.clone();
    }

    public void set(int index, byte value) {
        values[index] = value;
    }

    public byte get(int index) {
        return values[index];
    }

    public void init(byte value) {
        Arrays.fill(values, value);
    }

    @Override
    public void clear() {
        init((byte) 0);
    }

    @Override
    public int getSize() {
        return values.length;
    }

    @Override
    public int getElementSize() {
        return Byte.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return MemorySegment.ofArray(values);
    }
}
