package uk.ac.manchester.tornado.api.types.arrays;

import java.lang.foreign.MemorySegment;

/// Common methods of all arrays. In the SDK they are off-heap after a header; here a segment is a view of a Java array.
public abstract sealed class TornadoNativeArray
        permits FloatArray, IntArray, ShortArray, ByteArray, LongArray, DoubleArray {
    /// Bytes in front of the elements in [#getNumBytesOfSegmentWithHeader]; the SDK's value depends on its flags.
    public static final long ARRAY_HEADER = Long.parseLong(System.getProperty("tornado.panama.objectHeader", "16"));

    TornadoNativeArray() {
    }

    public abstract int getSize();

    public abstract int getElementSize();

    /// The elements, without the header.
    public abstract MemorySegment getSegment();

    public abstract void clear();

    public long getNumBytesOfSegment() {
        return (long) getSize() * getElementSize();
    }

    public long getNumBytesOfSegmentWithHeader() {
        return getNumBytesOfSegment() + ARRAY_HEADER;
    }
}
