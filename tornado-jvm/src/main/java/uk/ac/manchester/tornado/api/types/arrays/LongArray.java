package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A fixed number of longs, zero at first.
public final class LongArray extends TornadoNativeArray {
    private final long[] values;

    public LongArray(int numberOfElements) {
        values = new long[numberOfElements];
    }

    public static LongArray fromArray(long[] values) {
        LongArray a = new LongArray(values.length);
        System.arraycopy(values, 0, a.values, 0, values.length);
        return a;
    }

    public static LongArray fromElements(long... values) {
        return fromArray(values);
    }

    public static LongArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(ValueLayout.JAVA_LONG));
    }

    public long[] toHeapArray() {
        return values.clone();
    }

    public void set(int index, long value) {
        values[index] = value;
    }

    public long get(int index) {
        return values[index];
    }

    public void init(long value) {
        Arrays.fill(values, value);
    }

    @Override
    public void clear() {
        init((long) 0);
    }

    @Override
    public int getSize() {
        return values.length;
    }

    @Override
    public int getElementSize() {
        return Long.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return MemorySegment.ofArray(values);
    }
}
