package dev.gyre.model.format;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.Json;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// Collects the tensors of one safetensors file and writes it crash-safely. The values of a tensor are asked for
/// when its turn comes and dropped afterwards, so that a whole model is never in memory.
///
/// Layout as the reference library writes it, byte for byte: wide types first and names in order within one type, so
/// that every tensor is aligned; header padded with spaces so that the data start at a multiple of 8.
public final class SafeTensorsWriter {
    private static final int PIECE = 1 << 20;

    private final Map<String, String> metadata = new TreeMap<>(Map.of("format", "pt"));
    private final List<Entry> entries = new ArrayList<>();
    private final Set<String> names = new HashSet<>();

    /// Writes the stored bytes of one tensor.
    interface Body {
        void writeTo(WritableByteChannel out) throws IOException;
    }

    record Entry(String name, TensorType type, List<Long> shape, long bytes, Body body) {
        static Entry of(String name, TensorType type, long[] dims, Body body) {
            long bytes = type.width;
            List<Long> shape = new ArrayList<>();
            for (long d : dims) {
                if (d < 0)
                    throw new IllegalArgumentException(name + ": negative dimension " + d);
                bytes = Math.multiplyExact(bytes, d);
                shape.add(d);
            }
            return new Entry(name, type, List.copyOf(shape), bytes, body);
        }

        static Entry floats(String name, TensorType type, Supplier<float[]> values, long... shape) {
            if (type != TensorType.F32 && type != TensorType.F16 && type != TensorType.BF16)
                throw new IllegalArgumentException(name + ": " + type + " does not store float values");
            return of(name, type, shape, out -> {
                float[] v = values.get();
                pieces(out, type.width, check(name, v.length, shape), (s, from, n) -> {
                    switch (type) {
                        case F32 -> MemorySegment.copy(v, from, s, SafeTensors.F32, 0, n);
                        case F16 -> {
                            for (int i = 0; i < n; i++)
                                s.set(SafeTensors.I16, 2L * i, Float.floatToFloat16(v[from + i]));
                        }
                        case BF16 -> {
                            for (int i = 0; i < n; i++)
                                s.set(SafeTensors.I16, 2L * i, HostData.BF16.bits(v[from + i]));
                        }
                        default -> throw new AssertionError(type);
                    }
                });
            });
        }

        static Entry u8(String name, byte[] values, long... shape) {
            return of(name, TensorType.U8, shape, out -> pieces(out, 1, check(name, values.length, shape),
                    (s, i, n) -> MemorySegment.copy(values, i, s, ValueLayout.JAVA_BYTE, 0, n)));
        }

        static Entry copy(WeightFile source, String name) {
            TensorInfo t = source.info(name);
            return new Entry(name, t.type(), t.shape(), t.bytes(), out -> source.copyTo(name, out));
        }
    }

    /// Adds to or replaces the default metadata `{"format": "pt"}`.
    public SafeTensorsWriter metadata(String key, String value) {
        metadata.put(key, value);
        return this;
    }

    SafeTensorsWriter add(Entry e) {
        if (e.name().equals("__metadata__") || !names.add(e.name()))
            throw new IllegalArgumentException("tensor name '" + e.name() + "' is taken");
        entries.add(e);
        return this;
    }

    public SafeTensorsWriter f32(String name, float[] values, long... shape) {
        return add(Entry.floats(name, TensorType.F32, () -> values, shape));
    }

    /// Values stored as `type`, one of F32, F16 and BF16 (rounded to nearest even).
    public SafeTensorsWriter floats(String name, TensorType type, Supplier<float[]> values, long... shape) {
        return add(Entry.floats(name, type, values, shape));
    }

    /// Raw brain float bits.
    public SafeTensorsWriter bf16(String name, Supplier<short[]> bits, long... shape) {
        return add(Entry.of(name, TensorType.BF16, shape, out -> {
            short[] v = bits.get();
            pieces(out, 2, check(name, v.length, shape),
                    (s, i, n) -> MemorySegment.copy(v, i, s, SafeTensors.I16, 0, n));
        }));
    }

    public SafeTensorsWriter f64(String name, double[] values, long... shape) {
        return add(Entry.of(name, TensorType.F64, shape, out -> pieces(out, 8, check(name, values.length, shape),
                (s, i, n) -> MemorySegment.copy(values, i, s, SafeTensors.F64, 0, n))));
    }

    public SafeTensorsWriter i64(String name, long[] values, long... shape) {
        return add(Entry.of(name, TensorType.I64, shape, out -> pieces(out, 8, check(name, values.length, shape),
                (s, i, n) -> MemorySegment.copy(values, i, s, SafeTensors.I64, 0, n))));
    }

    public SafeTensorsWriter i32(String name, int[] values, long... shape) {
        return add(Entry.of(name, TensorType.I32, shape, out -> pieces(out, 4, check(name, values.length, shape),
                (s, i, n) -> MemorySegment.copy(values, i, s, SafeTensors.I32, 0, n))));
    }

    public SafeTensorsWriter u8(String name, byte[] values, long... shape) {
        return add(Entry.u8(name, values, shape));
    }

    /// The same bytes under the same name as in `source`, which must stay open until this file is written.
    public SafeTensorsWriter copy(SafeTensors source, String name) {
        return add(Entry.copy(source, name));
    }

    /// Creates or replaces `file`.
    public void write(Path file) {
        List<Entry> order = new ArrayList<>(entries);
        order.sort(Comparator.comparing(Entry::type).thenComparing(Entry::name));
        byte[] header = header(order);
        AtomicFiles.write(file, out -> {
            ByteBuffer start = ByteBuffer.allocate(8 + header.length).order(ByteOrder.LITTLE_ENDIAN);
            start.putLong(header.length).put(header).flip();
            while (start.hasRemaining())
                out.write(start);
            for (Entry e : order) {
                long before = out.position();
                e.body().writeTo(out);
                if (out.position() - before != e.bytes())
                    throw new IllegalStateException(e.name() + ": wrote " + (out.position() - before)
                            + " bytes instead of " + e.bytes());
            }
        });
    }

    private byte[] header(List<Entry> order) {
        ObjectNode json = Json.MAPPER.createObjectNode();
        ObjectNode meta = json.putObject("__metadata__");
        metadata.forEach(meta::put);
        long at = 0;
        for (Entry e : order) {
            ObjectNode t = json.putObject(e.name());
            t.put("dtype", e.type().name());
            ArrayNode shape = t.putArray("shape");
            e.shape().forEach(shape::add);
            t.putArray("data_offsets").add(at).add(at + e.bytes());
            at = Math.addExact(at, e.bytes());
        }
        byte[] text = Json.MAPPER.writeValueAsString(json).getBytes(StandardCharsets.UTF_8);
        if (text.length > SafeTensors.HEADER_LIMIT - 8)
            throw new IllegalArgumentException("too many tensors for one file: header of " + text.length + " bytes");
        byte[] padded = java.util.Arrays.copyOf(text, (text.length + 7) / 8 * 8);
        java.util.Arrays.fill(padded, text.length, padded.length, (byte) ' ');
        return padded;
    }

    private static int check(String name, int length, long[] shape) {
        long n = 1;
        for (long d : shape)
            n *= d;
        if (length != n)
            throw new IllegalArgumentException(name + ": " + length + " values for a shape of " + n);
        return length;
    }

    /// Fills `piece` with elements `from .. from + n - 1`.
    private interface Fill {
        void fill(MemorySegment piece, int from, int n);
    }

    private static void pieces(WritableByteChannel out, int width, int size, Fill fill) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment piece = arena.allocate(Math.min(PIECE, Math.max(8L, (long) size * width)));
            ByteBuffer buffer = piece.asByteBuffer();
            int step = PIECE / width;
            for (int from = 0; from < size; from += step) {
                int n = Math.min(step, size - from);
                fill.fill(piece, from, n);
                buffer.clear().limit(n * width);
                while (buffer.hasRemaining())
                    out.write(buffer);
                if (size - from <= step)
                    break;
            }
        }
    }
}
