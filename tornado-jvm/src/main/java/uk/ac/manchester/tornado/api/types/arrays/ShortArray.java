package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A fixed number of shorts, zero at first.
public final class ShortArray extends TornadoNativeArray {
    private final short[] values;

    public ShortArray(int numberOfElements) {
        values = new short[numberOfElements];
    }

    public static ShortArray fromArray(short[] values) {
        ShortArray a = new ShortArray(values.length);
        System.arraycopy(values, 0, a.values, 0, values.length);
        return a;
    }

    public static ShortArray fromElements(short... values) {
        return fromArray(values);
    }

    public static ShortArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(ValueLayout.JAVA_SHORT));
    }

    public short[] toHeapArray() {
        return values.clone();
    }

    public void set(int index, short value) {
        values[index] = value;
    }

    public short get(int index) {
        return values[index];
    }

    public void init(short value) {
        Arrays.fill(values, value);
    }

    @Override
    public void clear() {
        init((short) 0);
    }

    @Override
    public int getSize() {
        return values.length;
    }

    @Override
    public int getElementSize() {
        return Short.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return MemorySegment.ofArray(values);
    }
}
