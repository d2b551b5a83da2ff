package dev.gyre.model.format;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Inputs;
import dev.gyre.model.files.Json;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// A safetensors file: 8 bytes little-endian header length, a JSON header, then the tensors, row-major and
/// little-endian, without gap or overlap. Everything the header claims is checked when the file is opened, before
/// anything of a claimed size is allocated. Reads go in pieces of one MiB straight into the resulting array; nothing
/// stays mapped or cached. Reading from several threads is fine.
public final class SafeTensors implements WeightFile {
    static final long HEADER_LIMIT = 100_000_000;
    private static final int PIECE = 1 << 20;
    static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfDouble F64 = ValueLayout.JAVA_DOUBLE_UNALIGNED
            .withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfShort I16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Path file;
    private final FileChannel channel;
    private final Map<String, TensorInfo> tensors;
    private final Map<String, String> metadata;

    private SafeTensors(Path file, FileChannel channel, Map<String, TensorInfo> tensors, Map<String, String> metadata) {
        this.file = file;
        this.channel = channel;
        this.tensors = tensors;
        this.metadata = Collections.unmodifiableMap(metadata);
    }

    public static SafeTensors open(Path file) {
        if (Files.isDirectory(file))
            throw new FormatException(file, "is a directory, expected a .safetensors file");
        Inputs.requireFile(file);
        FileChannel channel = null;
        try {
            channel = FileChannel.open(file, StandardOpenOption.READ);
            SafeTensors opened = parse(file, channel);
            channel = null;
            return opened;
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        } finally {
            closeQuietly(channel);
        }
    }

    private static void closeQuietly(@Nullable FileChannel c) {
        try {
            if (c != null)
                c.close();
        } catch (IOException e) {
            // the reason for closing matters more, and nothing was written
        }
    }

    private static SafeTensors parse(Path file, FileChannel channel) throws IOException {
        long fileBytes = channel.size();
        if (fileBytes < 8)
            throw bad(file, "", fileBytes + " bytes long, too short for the 8-byte header length");
        ByteBuffer prefix = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
        fully(file, channel, prefix, 0);
        long length = prefix.getLong(0);
        if (length < 2 || length > HEADER_LIMIT)
            throw bad(file, "bytes 0-7: ", "header length " + Long.toUnsignedString(length)
                    + " is outside 2 to " + HEADER_LIMIT + ", so this is no safetensors file");
        if (length > fileBytes - 8)
            throw bad(file, "bytes 0-7: ", "header of " + length + " bytes does not fit into a file of " + fileBytes);
        byte[] header = new byte[(int) length];
        fully(file, channel, ByteBuffer.wrap(header), 8);
        // the parser would take a byte order mark and tell UTF-16 and UTF-32 by the zeros beside the brace
        if (header[0] != '{' || header[1] == 0)
            throw bad(file, "byte 8: ", "the header does not begin with { in UTF-8");
        ObjectNode json = Json.parseObject(file, "header: ", header, 0, header.length);

        var metadata = new TreeMap<String, String>();
        var tensors = new TreeMap<String, TensorInfo>();
        long start = 8 + length;
        for (Map.Entry<String, JsonNode> e : json.properties()) {
            if (e.getKey().equals("__metadata__"))
                readMetadata(file, e.getValue(), metadata);
            else
                tensors.put(e.getKey(), entry(file, e.getKey(), e.getValue(), start, fileBytes));
        }
        checkLayout(file, tensors.values(), start, fileBytes);
        return new SafeTensors(file, channel, tensors, metadata);
    }

    private static void readMetadata(Path file, JsonNode node, Map<String, String> into) {
        if (!node.isObject())
            throw bad(file, "header, __metadata__: ", "not an object");
        for (Map.Entry<String, JsonNode> e : node.properties()) {
            if (!e.getValue().isString())
                throw bad(file, "header, __metadata__." + e.getKey() + ": ", "not a string");
            into.put(e.getKey(), e.getValue().stringValue());
        }
    }

    private static TensorInfo entry(Path file, String name, JsonNode node, long start, long fileBytes) {
        String place = "header, tensor '" + name + "': ";
        if (!node.isObject())
            throw bad(file, place, "not an object");
        JsonNode dtype = node.path("dtype");
        if (!dtype.isString())
            throw bad(file, place, "dtype is missing or not a string");
        TensorType type = TensorType.of(dtype.stringValue());
        if (type == null)
            throw new FormatException(file, place + "dtype " + dtype.stringValue() + " is not known; convert the tensor"
                    + " to F32, F16 or BF16, or take it out of the file");
        JsonNode dims = node.path("shape");
        if (!dims.isArray())
            throw bad(file, place, "shape is missing or not a list");
        List<Long> shape = new ArrayList<>();
        long bytes = type.width;
        boolean empty = false;
        for (JsonNode d : dims) {
            long n = natural(file, place + "shape: ", d);
            shape.add(n);
            empty |= n == 0;
        }
        for (long n : shape) {
            if (!empty && n > Long.MAX_VALUE / bytes)
                throw bad(file, place, "shape " + TensorInfo.text(shape) + " is larger than any file");
            bytes = empty ? 0 : bytes * n;
        }
        JsonNode offsets = node.path("data_offsets");
        if (!offsets.isArray() || offsets.size() != 2)
            throw bad(file, place, "data_offsets is missing or not a pair");
        long begin = natural(file, place + "data_offsets: ", offsets.get(0));
        long end = natural(file, place + "data_offsets: ", offsets.get(1));
        if (begin > end)
            throw bad(file, place, "data_offsets [" + begin + ", " + end + "] run backwards");
        if (end > fileBytes - start)
            throw bad(file, place, "data_offsets [" + begin + ", " + end + "] leave the " + (fileBytes - start)
                    + " data bytes of the file, which is truncated or damaged");
        if (end - begin != bytes)
            throw bad(file, place, "data_offsets span " + (end - begin) + " bytes, but " + type + " "
                    + TensorInfo.text(shape) + " takes " + bytes);
        return new TensorInfo(name, type, shape, start + begin, start + end);
    }

    private static long natural(Path file, String place, JsonNode node) {
        if (!node.isIntegralNumber() || !node.canConvertToLong() || node.longValue() < 0)
            throw bad(file, place, "not a whole number from 0: " + node);
        return node.longValue();
    }

    private static void checkLayout(Path file, java.util.Collection<TensorInfo> tensors, long start, long fileBytes) {
        List<TensorInfo> inOrder = new ArrayList<>(tensors);
        inOrder.sort(Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end));
        long position = start;
        String before = "the header";
        for (TensorInfo t : inOrder) {
            if (t.begin() < position)
                throw bad(file, "header, tensor '" + t.name() + "': ", "overlaps " + before);
            if (t.begin() > position)
                throw bad(file, "header, tensor '" + t.name() + "': ",
                        "starts " + (t.begin() - position) + " bytes after the end of " + before);
            position = t.end();
            before = "tensor '" + t.name() + "'";
        }
        if (position != fileBytes)
            throw bad(file, "byte " + position + ": ",
                    (fileBytes - position) + " bytes follow the last tensor that the header knows");
    }

    private static FormatException bad(Path file, String place, String problem) {
        return new FormatException(file, place + problem + "; get or write the file again");
    }

    @Override
    public Path file() {
        return file;
    }

    /// Gives a tensor another name for as long as the file is open.
    void rename(String name, String other) {
        TensorInfo t = info(name);
        tensors.remove(name);
        tensors.put(other, new TensorInfo(other, t.type(), t.shape(), t.begin(), t.end()));
    }

    /// All tensors, sorted by name.
    public Map<String, TensorInfo> tensors() {
        return Collections.unmodifiableMap(tensors);
    }

    public Set<String> names() {
        return tensors().keySet();
    }

    public boolean contains(String name) {
        return tensors.containsKey(name);
    }

    public Map<String, String> metadata() {
        return metadata;
    }

    @Override
    public TensorInfo info(String name) {
        TensorInfo t = tensors.get(name);
        if (t == null)
            throw new FormatException(file, "has no tensor '" + name + "' among its " + tensors.size());
        return t;
    }

    /// An F32 tensor, or an F16 or BF16 one widened, which is exact.
    public float[] f32(String name) {
        return f32(name, float[]::new);
    }

    @Override
    public float[] f32(String name, IntFunction<float[]> array) {
        TensorInfo t = info(name);
        float[] values = array.apply(length(t, "F32, F16 or BF16", TensorType.F32, TensorType.F16, TensorType.BF16));
        read(t, (s, n, at) -> {
            switch (t.type()) {
                case F32 -> MemorySegment.copy(s, F32, 0, values, at, n);
                case F16 -> {
                    for (int i = 0; i < n; i++)
                        values[at + i] = Float.float16ToFloat(s.get(I16, 2L * i));
                }
                case BF16 -> {
                    for (int i = 0; i < n; i++)
                        values[at + i] = HostData.BF16.value(s.get(I16, 2L * i));
                }
                default -> throw new AssertionError(t);
            }
        });
        return values;
    }

    /// The raw bits of a BF16 tensor.
    public short[] bf16(String name) {
        return bf16(name, short[]::new);
    }

    @Override
    public short[] bf16(String name, IntFunction<short[]> array) {
        TensorInfo t = info(name);
        short[] bits = array.apply(length(t, "BF16", TensorType.BF16));
        read(t, (s, n, at) -> MemorySegment.copy(s, I16, 0, bits, at, n));
        return bits;
    }

    /// An F32, F16 or BF16 tensor that stays in the file, readable after this is closed.
    ///
    /// @param dtype F32, or BF16 for a BF16 tensor
    HostData.Stored stored(String name, DType dtype) {
        TensorInfo t = info(name);
        int n = dtype == DType.BF16 ? length(t, "BF16", TensorType.BF16)
                : length(t, "F32, F16 or BF16", TensorType.F32, TensorType.F16, TensorType.BF16);
        return new HostData.Stored(n, dtype, StoredTensor.of(file, t, dtype));
    }

    public double[] f64(String name) {
        TensorInfo t = info(name);
        double[] values = new double[length(t, "F64", TensorType.F64)];
        read(t, (s, n, at) -> MemorySegment.copy(s, F64, 0, values, at, n));
        return values;
    }

    public long[] i64(String name) {
        TensorInfo t = info(name);
        long[] values = new long[length(t, "I64", TensorType.I64)];
        read(t, (s, n, at) -> MemorySegment.copy(s, I64, 0, values, at, n));
        return values;
    }

    public int[] i32(String name) {
        TensorInfo t = info(name);
        int[] values = new int[length(t, "I32", TensorType.I32)];
        read(t, (s, n, at) -> MemorySegment.copy(s, I32, 0, values, at, n));
        return values;
    }

    public byte[] u8(String name) {
        TensorInfo t = info(name);
        byte[] values = new byte[length(t, "U8", TensorType.U8)];
        read(t, (s, n, at) -> MemorySegment.copy(s, ValueLayout.JAVA_BYTE, 0, values, at, n));
        return values;
    }

    /// The stored bytes of a tensor of any type.
    @Override
    public byte[] bytes(String name) {
        TensorInfo t = info(name);
        if (t.bytes() > Integer.MAX_VALUE - 8)
            throw tooLarge(t);
        byte[] values = new byte[(int) t.bytes()];
        read(t, (s, n, at) -> MemorySegment.copy(s, ValueLayout.JAVA_BYTE, 0, values, at * t.type().width,
                n * t.type().width));
        return values;
    }

    /// Whether two tensors have the same type, shape and bytes; read a piece at a time.
    boolean same(String name, SafeTensors other, String otherName) {
        TensorInfo a = info(name);
        TensorInfo b = other.info(otherName);
        if (a.type() != b.type() || !a.shape().equals(b.shape()))
            return false;
        ByteBuffer mine = ByteBuffer.allocateDirect((int) Math.min(PIECE, Math.max(1, a.bytes())));
        ByteBuffer theirs = ByteBuffer.allocateDirect(mine.capacity());
        try {
            for (long at = 0; at < a.bytes(); at += mine.limit()) {
                int n = (int) Math.min(mine.capacity(), a.bytes() - at);
                fully(file, channel, mine.clear().limit(n), a.begin() + at);
                fully(other.file, other.channel, theirs.clear().limit(n), b.begin() + at);
                if (!mine.flip().equals(theirs.flip()))
                    return false;
            }
            return true;
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    /// Copies the stored bytes of a tensor, a piece at a time.
    @Override
    public void copyTo(String name, WritableByteChannel out) throws IOException {
        TensorInfo t = info(name);
        ByteBuffer piece = ByteBuffer.allocateDirect((int) Math.min(PIECE, Math.max(1, t.bytes())));
        for (long at = t.begin(); at < t.end();) {
            piece.clear().limit((int) Math.min(piece.capacity(), t.end() - at));
            int n = piece.limit();
            fully(file, channel, piece, at);
            piece.flip();
            while (piece.hasRemaining())
                out.write(piece);
            at += n;
        }
    }

    @Override
    public void close() {
        closeQuietly(channel);
    }

    private int length(TensorInfo t, String wanted, TensorType... types) {
        if (!List.of(types).contains(t.type()))
            throw new FormatException(file, "tensor '" + t.name() + "' is " + t.type() + ", expected " + wanted);
        if (t.size() > Integer.MAX_VALUE - 8)
            throw tooLarge(t);
        return (int) t.size();
    }

    private FormatException tooLarge(TensorInfo t) {
        return new FormatException(file, "tensor '" + t.name() + "' " + TensorInfo.text(t.shape())
                + " has more elements than a Java array holds (2^31)");
    }

    /// Takes `n` elements in `piece`, which are elements `at ..` of the tensor.
    private interface Sink {
        void take(MemorySegment piece, int n, int at);
    }

    private void read(TensorInfo t, Sink sink) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment piece = arena.allocate(Math.min(PIECE, Math.max(8, t.bytes())));
            ByteBuffer buffer = piece.asByteBuffer();
            int at = 0;
            for (long position = t.begin(); position < t.end();) {
                int bytes = (int) Math.min(buffer.capacity(), t.end() - position);
                fully(file, channel, buffer.clear().limit(bytes), position);
                sink.take(piece, bytes / t.type().width, at);
                at += bytes / t.type().width;
                position += bytes;
            }
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    static void fully(Path file, FileChannel channel, ByteBuffer into, long position) throws IOException {
        while (into.hasRemaining()) {
            int n = channel.read(into, position);
            if (n < 0)
                throw bad(file, "byte " + position + ": ", "the file ends here, it became shorter while open");
            position += n;
        }
    }
}
