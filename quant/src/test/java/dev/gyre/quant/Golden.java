package dev.gyre.quant;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Tensors of one of the files under `golden/`; just enough of the format for files we trust.
public final class Golden {
    private final ByteBuffer file;
    private final JsonNode header;

    private Golden(ByteBuffer file, JsonNode header) {
        this.file = file;
        this.header = header;
    }

    public static Golden open(String name) {
        try (InputStream in = Golden.class.getResourceAsStream("/golden/" + name)) {
            if (in == null)
                throw new IllegalStateException("no resource golden/" + name);
            ByteBuffer all = ByteBuffer.wrap(in.readAllBytes()).order(ByteOrder.LITTLE_ENDIAN);
            int n = (int) all.getLong(0);
            JsonNode header = new JsonMapper().readTree(new String(all.array(), 8, n, StandardCharsets.UTF_8));
            return new Golden(all.slice(8 + n, all.capacity() - 8 - n), header);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// Bytes of a tensor, or null when there is none of that name.
    public ByteBuffer buffer(String name) {
        JsonNode t = header.get(name);
        if (t == null)
            return null;
        JsonNode o = t.get("data_offsets");
        return file.slice(o.get(0).asInt(), o.get(1).asInt() - o.get(0).asInt()).order(ByteOrder.LITTLE_ENDIAN);
    }

    public byte[] bytes(String name) {
        ByteBuffer b = buffer(name);
        byte[] a = new byte[b.remaining()];
        b.get(a);
        return a;
    }

    public float[] floats(String name) {
        ByteBuffer b = buffer(name);
        float[] a = new float[b.remaining() / 4];
        b.asFloatBuffer().get(a);
        return a;
    }

    public short[] shorts(String name) {
        ByteBuffer b = buffer(name);
        short[] a = new short[b.remaining() / 2];
        b.asShortBuffer().get(a);
        return a;
    }

    static String sha256(float[] a) {
        ByteBuffer b = ByteBuffer.allocate(4 * a.length).order(ByteOrder.LITTLE_ENDIAN);
        b.asFloatBuffer().put(a);
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(b.array()));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    static float bf16(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    static float[] gaussian(int n, long seed) {
        java.util.Random random = new java.util.Random(seed);
        float[] w = new float[n];
        for (int i = 0; i < n; i++)
            w[i] = (float) random.nextGaussian() * 0.02f;
        return w;
    }
}
