package dev.gyre.model.gguf;

import dev.gyre.kernels.op.HostData;
import java.nio.ByteBuffer;

/// Values of tensors to bytes and back, as ggml's reference code does it. Buffers are little-endian.
public final class GgufBlocks {
    private GgufBlocks() {
    }

    /// Reads `n` values, whole blocks, from the buffer's position on.
    public static void decode(GgufType type, ByteBuffer in, float[] out, int at, int n) {
        switch (type) {
            case F32 -> {
                in.asFloatBuffer().get(out, at, n);
                in.position(in.position() + 4 * n);
            }
            case F16 -> {
                for (int i = 0; i < n; i++)
                    out[at + i] = half(in);
            }
            case BF16 -> {
                for (int i = 0; i < n; i++)
                    out[at + i] = HostData.BF16.value(in.getShort());
            }
            default -> {
                byte[] block = new byte[type.bytes];
                for (int i = 0; i < n; i += type.size) {
                    in.get(block);
                    ByteBuffer b = ByteBuffer.wrap(block).order(in.order());
                    switch (type) {
                        case Q8_0 -> q8(b, out, at + i);
                        case Q4_0, Q4_1 -> q4(b, type == GgufType.Q4_1, out, at + i);
                        case Q5_0, Q5_1 -> q5(b, type == GgufType.Q5_1, out, at + i);
                        case Q4_K -> kQuants(b, false, out, at + i);
                        case Q5_K -> kQuants(b, true, out, at + i);
                        case Q6_K -> q6(b, out, at + i);
                        default -> throw new AssertionError(type);
                    }
                }
            }
        }
    }

    private static float half(ByteBuffer b) {
        return Float.float16ToFloat(b.getShort());
    }

    private static void q8(ByteBuffer b, float[] out, int at) {
        float d = half(b);
        for (int j = 0; j < 32; j++)
            out[at + j] = b.get() * d;
    }

    private static void q4(ByteBuffer b, boolean offset, float[] out, int at) {
        float d = half(b);
        float m = offset ? half(b) : 0;
        for (int j = 0; j < 16; j++) {
            int q = b.get() & 0xFF;
            out[at + j] = offset ? (q & 15) * d + m : ((q & 15) - 8) * d;
            out[at + j + 16] = offset ? (q >> 4) * d + m : ((q >> 4) - 8) * d;
        }
    }

    private static void q5(ByteBuffer b, boolean offset, float[] out, int at) {
        float d = half(b);
        float m = offset ? half(b) : 0;
        int high = b.getInt();
        for (int j = 0; j < 16; j++) {
            int q = b.get() & 0xFF;
            int lower = q & 15 | (high >>> j & 1) << 4;
            int upper = q >> 4 | (high >>> j + 16 & 1) << 4;
            out[at + j] = offset ? lower * d + m : (lower - 16) * d;
            out[at + j + 16] = offset ? upper * d + m : (upper - 16) * d;
        }
    }

    /// Q4_K and Q5_K: eight groups of 32 values, each with a scale and a minimum of 6 bits.
    private static void kQuants(ByteBuffer b, boolean five, float[] out, int at) {
        float d = half(b);
        float min = half(b);
        byte[] s = new byte[12];
        b.get(s);
        byte[] high = new byte[32];
        if (five)
            b.get(high);
        byte[] low = new byte[32];
        for (int group = 0; group < 8; group += 2) {
            b.get(low);
            for (int half = 0; half < 2; half++) {
                int g = group + half;
                int scale = g < 4 ? s[g] & 63 : s[g + 4] & 15 | (s[g - 4] & 0xFF) >> 6 << 4;
                int least = g < 4 ? s[g + 4] & 63 : (s[g + 4] & 0xFF) >> 4 | (s[g] & 0xFF) >> 6 << 4;
                float dg = d * scale;
                float mg = min * least;
                for (int l = 0; l < 32; l++) {
                    int q = half == 0 ? low[l] & 15 : (low[l] & 0xFF) >> 4;
                    if (five)
                        q += (high[l] >> g & 1) << 4;
                    out[at + 32 * g + l] = dg * q - mg;
                }
            }
        }
    }

    private static void q6(ByteBuffer b, float[] out, int at) {
        byte[] low = new byte[128];
        byte[] high = new byte[64];
        byte[] scales = new byte[16];
        b.get(low).get(high).get(scales);
        float d = half(b);
        for (int n = 0; n < 2; n++)
            for (int part = 0; part < 4; part++)
                for (int l = 0; l < 32; l++) {
                    int bits = low[64 * n + 32 * (part & 1) + l] & 0xFF;
                    int q = (part < 2 ? bits & 15 : bits >> 4) | (high[32 * n + l] >> 2 * part & 3) << 4;
                    out[at + 128 * n + 32 * part + l] = d * scales[8 * n + 2 * part + l / 16] * (q - 32);
                }
    }

    /// Writes `n` values, whole blocks; of a type of [GgufType#WRITTEN].
    public static void encode(GgufType type, float[] in, int at, int n, ByteBuffer out) {
        switch (type) {
            case F32 -> {
                for (int i = 0; i < n; i++)
                    out.putFloat(in[at + i]);
            }
            case F16 -> {
                for (int i = 0; i < n; i++)
                    out.putShort(Float.floatToFloat16(in[at + i]));
            }
            case BF16 -> {
                for (int i = 0; i < n; i++)
                    out.putShort(HostData.BF16.bits(in[at + i]));
            }
            case Q8_0 -> {
                for (int i = 0; i < n; i += 32)
                    toQ8(in, at + i, out);
            }
            case Q4_0 -> {
                for (int i = 0; i < n; i += 32)
                    toQ4(in, at + i, out);
            }
            default -> throw new IllegalArgumentException("no model is written in " + type);
        }
    }

    private static void toQ8(float[] in, int at, ByteBuffer out) {
        float most = 0;
        for (int j = 0; j < 32; j++)
            most = Math.max(most, Math.abs(in[at + j]));
        float d = most / 127;
        float inverse = d == 0 ? 0 : 1 / d;
        out.putShort(Float.floatToFloat16(d));
        for (int j = 0; j < 32; j++) {
            float x = in[at + j] * inverse;
            // half away from zero
            int q = (int) Math.floor(Math.abs((double) x) + 0.5);
            out.put((byte) (x < 0 ? -q : q));
        }
    }

    private static void toQ4(float[] in, int at, ByteBuffer out) {
        float extreme = 0;
        for (int j = 0; j < 32; j++)
            if (Math.abs(in[at + j]) > Math.abs(extreme))
                extreme = in[at + j];
        float d = extreme / -8;
        float inverse = d == 0 ? 0 : 1 / d;
        out.putShort(Float.floatToFloat16(d));
        for (int j = 0; j < 16; j++) {
            int lower = (int) (in[at + j] * inverse + 8.5f);
            int upper = (int) (in[at + j + 16] * inverse + 8.5f);
            out.put((byte) (Math.min(15, lower) | Math.min(15, upper) << 4));
        }
    }
}
