package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A fixed number of ints, zero at first.
public final class IntArray extends TornadoNativeArray {
    private final int[] values;

    public IntArray(int numberOfElements) {
        values = new int[numberOfElements];
    }

    public static IntArray fromArray(int[] values) {
        IntArray a = new IntArray(values.length);
        System.arraycopy(values, 0, a.values, 0, values.length);
        return a;
    }

    public static IntArray fromElements(int... values) {
        return fromArray(values);
    }

    public static IntArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(ValueLayout.JAVA_INT));
    }

    public int[] toHeapArray() {
        return values.clone();
    }

    public void set(int index, int value) {
        values[index] = value;
    }

    public int get(int index) {
        return values[index];
    }

    public void init(int value) {
        Arrays.fill(values, value);
    }

    @Override
    public void clear() {
        init((int) 0);
    }

    @Override
    public int getSize() {
        return values.length;
    }

    @Override
    public int getElementSize() {
        return Integer.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return MemorySegment.ofArray(values);
    }
}
