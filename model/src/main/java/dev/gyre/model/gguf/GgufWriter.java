package dev.gyre.model.gguf;

import dev.gyre.model.files.AtomicFiles;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;

/// Collects metadata and tensors of one GGUF file (version 3, little-endian) and writes it crash-safely. The values of a tensor
/// are asked for when its turn comes and dropped afterwards.
public final class GgufWriter {
    private static final int VERSION = 3;
    private static final int ALIGNMENT = 32;
    private static final int PIECE = 1 << 20;

    private final Bytes metadata = new Bytes();
    private final Set<String> keys = new HashSet<>();
    private final List<Entry> entries = new ArrayList<>();
    private final Set<String> names = new HashSet<>();

    /// Little-endian.
    private static final class Bytes extends ByteArrayOutputStream {
        Bytes i32(int v) {
            return i64(v, 4);
        }

        Bytes i64(long v, int bytes) {
            for (int i = 0; i < bytes; i++)
                write((int) (v >>> 8 * i) & 0xFF);
            return this;
        }

        Bytes text(String s) {
            byte[] utf8 = s.getBytes(StandardCharsets.UTF_8);
            i64(utf8.length, 8);
            writeBytes(utf8);
            return this;
        }
    }

    private record Entry(String name, GgufType type, long[] shape, Supplier<float[]> values) {
        long columns() {
            return shape[shape.length - 1];
        }

        long rows() {
            long n = 1;
            for (int i = 0; i < shape.length - 1; i++)
                n = Math.multiplyExact(n, shape[i]);
            return n;
        }

        long bytes() {
            return Math.multiplyExact(rows(), type.row(columns()));
        }
    }

    private Bytes key(String key, int type) {
        if (!keys.add(key))
            throw new IllegalArgumentException("metadata '" + key + "' is set already");
        return metadata.text(key).i32(type);
    }

    public GgufWriter u32(String key, long value) {
        if (value < 0 || value > 0xFFFFFFFFL)
            throw new IllegalArgumentException(key + ": " + value);
        key(key, 4).i32((int) value);
        return this;
    }

    public GgufWriter f32(String key, double value) {
        key(key, 6).i32(Float.floatToRawIntBits((float) value));
        return this;
    }

    public GgufWriter flag(String key, boolean value) {
        key(key, 7).write(value ? 1 : 0);
        return this;
    }

    public GgufWriter text(String key, String value) {
        key(key, 8).text(value);
        return this;
    }

    public GgufWriter texts(String key, List<String> values) {
        Bytes b = key(key, 9).i32(8).i64(values.size(), 8);
        values.forEach(b::text);
        return this;
    }

    public GgufWriter f32s(String key, float[] values) {
        Bytes b = key(key, 9).i32(6).i64(values.length, 8);
        for (float v : values)
            b.i32(Float.floatToRawIntBits(v));
        return this;
    }

    public GgufWriter i32s(String key, int[] values) {
        Bytes b = key(key, 9).i32(5).i64(values.length, 8);
        for (int v : values)
            b.i32(v);
        return this;
    }

    /// @param shape rows before columns; the columns a multiple of the type's block
    /// @param values row-major
    public GgufWriter tensor(String name, GgufType type, Supplier<float[]> values, long... shape) {
        if (!names.add(name))
            throw new IllegalArgumentException("tensor name '" + name + "' is taken");
        if (shape[shape.length - 1] % type.size != 0)
            throw new IllegalArgumentException(name + ": rows of " + shape[shape.length - 1] + " in " + type);
        entries.add(new Entry(name, type, shape.clone(), values));
        return this;
    }

    /// Creates or replaces `file`.
    ///
    /// @return bytes written
    public long write(Path file) {
        var head = new Bytes();
        head.writeBytes("GGUF".getBytes(StandardCharsets.US_ASCII));
        head.i32(VERSION).i64(entries.size(), 8).i64(keys.size(), 8);
        var directory = new Bytes();
        long at = 0;
        for (Entry e : entries) {
            directory.text(e.name).i32(e.shape.length);
            for (int i = e.shape.length - 1; i >= 0; i--)
                directory.i64(e.shape[i], 8);
            directory.i32(e.type.id).i64(at, 8);
            at = aligned(Math.addExact(at, e.bytes()));
        }
        long[] size = new long[1];
        AtomicFiles.write(file, out -> {
            put(out, head.toByteArray());
            put(out, metadata.toByteArray());
            put(out, directory.toByteArray());
            pad(out, out.position());
            for (Entry e : entries) {
                long before = out.position();
                body(e, out);
                if (out.position() - before != e.bytes())
                    throw new IllegalStateException(e.name + ": wrote " + (out.position() - before)
                            + " bytes instead of " + e.bytes());
                pad(out, out.position());
            }
            size[0] = out.position();
        });
        return size[0];
    }

    private static long aligned(long at) {
        return Math.ceilDiv(at, ALIGNMENT) * ALIGNMENT;
    }

    private static void pad(WritableByteChannel out, long at) throws IOException {
        put(out, new byte[(int) (aligned(at) - at)]);
    }

    private static void put(WritableByteChannel out, byte[] bytes) throws IOException {
        ByteBuffer rest = ByteBuffer.wrap(bytes);
        while (rest.hasRemaining())
            out.write(rest);
    }

    private static void body(Entry e, WritableByteChannel out) throws IOException {
        float[] values = e.values.get();
        if (values.length != e.rows() * e.columns())
            throw new IllegalStateException(e.name + ": " + values.length + " values for a shape of "
                    + e.rows() * e.columns());
        // blocks do not cross rows, whose length is a multiple of theirs
        int step = PIECE / e.type.bytes * e.type.size;
        ByteBuffer piece = ByteBuffer.allocate(PIECE).order(ByteOrder.LITTLE_ENDIAN);
        for (int from = 0; from < values.length; from += step) {
            piece.clear();
            GgufBlocks.encode(e.type, values, from, Math.min(step, values.length - from), piece);
            piece.flip();
            while (piece.hasRemaining())
                out.write(piece);
            if (values.length - from <= step)
                break;
        }
    }
}
