package uk.ac.manchester.tornado.api.types;

/// Conversions between F32 and BF16, as TornadoVM's CUDA backend compiles them: to the nearest value, ties to even. On other
/// devices the SDK's Java code rounds ties away from zero, so kernels for those convert by themselves.
public final class BFloat16 {
    private BFloat16() {
    }

    public static short bf16FromFloat(float x) {
        if (Float.isNaN(x))
            return 0x7fc0;
        int bits = Float.floatToRawIntBits(x);
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    public static float bf16ToFloat(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }
}
