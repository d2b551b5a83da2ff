package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// A fixed number of floats, zero at first.
public final class FloatArray extends TornadoNativeArray {
    private static final ValueLayout.OfFloat LAYOUT = ValueLayout.JAVA_FLOAT_UNALIGNED;

    /// Null for an array on a segment that somebody else made.
    private final float @Nullable [] values;
    private final MemorySegment segment;

    public FloatArray(int numberOfElements) {
        this(new float[numberOfElements]);
    }

    private FloatArray(float[] values) {
        this.values = values;
        this.segment = MemorySegment.ofArray(values);
    }

    private FloatArray(MemorySegment segment) {
        this.values = null;
        this.segment = segment;
    }

    /// An array whose header and elements are those of the segment, not copied.
    public static FloatArray fromSegmentShallow(MemorySegment segment) {
        return new FloatArray(segment.asSlice(ARRAY_HEADER));
    }

    public static FloatArray fromArray(float[] values) {
        FloatArray a = new FloatArray(values.length);
        MemorySegment.copy(values, 0, a.segment, LAYOUT, 0, values.length);
        return a;
    }

    public static FloatArray fromElements(float... values) {
        return fromArray(values);
    }

    public static FloatArray fromSegment(MemorySegment segment) {
        return fromArray(segment.toArray(LAYOUT));
    }

    public float[] toHeapArray() {
        return segment.toArray(LAYOUT);
    }

    public void set(int index, float value) {
        float[] v = values;
        if (v != null)
            v[index] = value;
        else
            segment.setAtIndex(LAYOUT, index, value);
    }

    public float get(int index) {
        float[] v = values;
        return v != null ? v[index] : segment.getAtIndex(LAYOUT, index);
    }

    public void init(float value) {
        float[] v = values;
        if (v != null)
            Arrays.fill(v, value);
        else
            for (int i = 0; i < getSize(); i++)
                set(i, value);
    }

    @Override
    public void clear() {
        init((float) 0);
    }

    @Override
    public int getSize() {
        return (int) (segment.byteSize() / Float.BYTES);
    }

    @Override
    public int getElementSize() {
        return Float.BYTES;
    }

    @Override
    public MemorySegment getSegment() {
        return segment;
    }
}
