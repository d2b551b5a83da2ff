package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A fixed number of doubles, zero at first.
public final class DoubleArray extends TornadoNativeArray {
    private final double[] values;

    public DoubleArray(int numberOfElements) {
        values = new double[numberOfElements];
    }

    public static DoubleArray fromArray(double[] values) {
        DoubleArray a = new DoubleArray(values.length);
        System.arraycopy(values, 0, a.values, 0, values.length);
        return a;
    }

    public static DoubleArray fromElements(double... values) {
        return fromArray(values);
    }

    public static DoubleArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(ValueLayout.JAVA_DOUBLE));
    }

    public double[] toHeapArray() {
        return values.clone();
    }

    public void set(int index, double value) {
        values[index] = value;
    }

    public double get(int index) {
        return values[index];
    }

    public void init(double value) {
        Arrays.fill(values, value);
    }

    @Override
    public void clear() {
        init((double) 0);
    }

    @Override
    public int getSize() {
        return values.length;
    }

    @Override
    public int getElementSize() {
        return Double.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return MemorySegment.ofArray(values);
    }
}
