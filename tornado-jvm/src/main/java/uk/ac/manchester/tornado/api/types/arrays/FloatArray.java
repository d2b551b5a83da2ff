package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A fixed number of floats, zero at first.
public final class FloatArray extends TornadoNativeArray {
    private final float[] values;

    public FloatArray(int numberOfElements) {
        values = new float[numberOfElements];
    }

    public static FloatArray fromArray(float[] values) {
        FloatArray a = new FloatArray(values.length);
        System.arraycopy(values, 0, a.values, 0, values.length);
        return a;
    }

    public static FloatArray fromElements(float... values) {
        return fromArray(values);
    }

    public static FloatArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(ValueLayout.JAVA_FLOAT));
    }

    public float[] toHeapArray() {
        return values.clone();
    }

    public void set(int index, float value) {
        values[index] = value;
    }

    public float get(int index) {
        return values[index];
    }

    public void init(float value) {
        Arrays.fill(values, value);
    }

    @Override
    public void clear() {
        init((float) 0);
    }

    @Override
    public int getSize() {
        return values.length;
    }

    @Override
    public int getElementSize() {
        return Float.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return MemorySegment.ofArray(values);
    }
}
