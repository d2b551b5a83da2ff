package dev.gyre.model.gguf;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Inputs;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;

/// A GGUF file, version 2 or 3, little-endian: metadata, then the directory of tensors, then their data. Everything that the
/// file claims of lengths, counts and places is held against its size before anything of that size is allocated. Reading
/// from several threads is fine.
public final class GgufFile implements AutoCloseable {
    private static final int MAGIC = 0x46554747;
    private static final int WINDOW = 1 << 20;
    /// Bytes of metadata; the largest published vocabularies with their merges have 20 million.
    private static final long METADATA = 64L << 20;
    private static final long MOST_TEXTS = 4_000_000;
    private static final int NAME = 1 << 16;
    private static final int MOST_DIMS = 4;
    private static final int MOST_ALIGNMENT = 1 << 20;

    private final Path file;
    private final FileChannel channel;
    private final Map<String, Object> metadata = new LinkedHashMap<>();
    private final Map<String, GgufTensor> tensors = new LinkedHashMap<>();

    private GgufFile(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /// Whether a name is that of such a file.
    public static boolean isNamed(Path file) {
        return String.valueOf(file.getFileName()).toLowerCase(java.util.Locale.ROOT).endsWith(".gguf");
    }

    public static GgufFile open(Path file) {
        if (Files.isDirectory(file))
            throw new FormatException(file, "is a directory, expected a .gguf file");
        Inputs.requireFile(file);
        FileChannel channel = null;
        try {
            channel = FileChannel.open(file, StandardOpenOption.READ);
            GgufFile opened = new GgufFile(file, channel);
            opened.parse();
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

    /// A position in the file, read through a window.
    private final class Cursor {
        private final long size;
        private final ByteBuffer window = ByteBuffer.allocate(WINDOW).order(ByteOrder.LITTLE_ENDIAN).limit(0);
        /// Where the window begins.
        private long start;

        Cursor(long size) {
            this.size = size;
        }

        long at() {
            return start + window.position();
        }

        long rest() {
            return size - at();
        }

        FormatException bad(String problem) {
            return GgufFile.this.bad("byte " + at() + ": ", problem);
        }

        private ByteBuffer need(int n) throws IOException {
            if (window.remaining() < n) {
                if (n > rest())
                    throw bad("the file ends here");
                start = at();
                window.clear().limit((int) Math.min(WINDOW, size - start));
                fully(window, start);
                window.flip();
            }
            return window;
        }

        int u8() throws IOException {
            return need(1).get() & 0xFF;
        }

        long u32() throws IOException {
            return need(4).getInt() & 0xFFFFFFFFL;
        }

        long i64() throws IOException {
            return need(8).getLong();
        }

        /// A number of things of at least `bytes` each that are to follow.
        long count(String what, int bytes) throws IOException {
            long n = i64();
            if (n < 0 || n > rest() / bytes)
                throw bad(Long.toUnsignedString(n) + " " + what + " do not fit into the " + rest()
                        + " bytes that follow");
            return n;
        }

        byte[] bytes(int n) throws IOException {
            byte[] all = new byte[n];
            for (int i = 0; i < n;) {
                int part = Math.min(n - i, WINDOW);
                need(part).get(all, i, part);
                i += part;
            }
            return all;
        }

        String text(String what, long most) throws IOException {
            long n = count("bytes of " + what, 1);
            if (n > most)
                throw bad(what + " of " + n + " bytes is longer than " + most);
            try {
                return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes((int) n))).toString();
            } catch (CharacterCodingException e) {
                throw bad(what + " before this is not UTF-8");
            }
        }
    }

    private void parse() throws IOException {
        var c = new Cursor(channel.size());
        if (c.rest() < 24)
            throw bad("", c.rest() + " bytes long, too short for a GGUF file");
        if (c.u32() != MAGIC)
            throw bad("bytes 0-3: ", "do not spell GGUF, so this is no GGUF file");
        long version = c.u32();
        if (version == 0x03000000 || version == 0x02000000)
            throw new FormatException(file, "is big-endian; get the little-endian file");
        if (version != 2 && version != 3)
            throw new FormatException(file,
                    "is of version " + version + " of GGUF; Gyre reads 2 and 3: convert the model"
                            + " again with a current llama.cpp");
        long count = c.count("tensors", 24);
        long keys = c.count("metadata keys", 13);
        long begin = c.at();
        for (long i = 0; i < keys; i++) {
            String key = c.text("a metadata key", NAME);
            if (metadata.put(key, value(c, key, begin)) != null)
                throw c.bad("metadata '" + key + "' is given twice");
        }
        long alignment = integer("general.alignment", 32);
        if (alignment < 1 || alignment > MOST_ALIGNMENT || Long.bitCount(alignment) != 1)
            throw bad("general.alignment: ", alignment + " is not a power of two up to " + MOST_ALIGNMENT);
        List<GgufTensor> found = new ArrayList<>();
        for (long i = 0; i < count; i++)
            found.add(entry(c, alignment));
        long start = Math.ceilDiv(c.at(), alignment) * alignment;
        place(found, start, c.size);
    }

    private Object value(Cursor c, String key, long begin) throws IOException {
        long type = c.u32();
        if (c.at() - begin > METADATA)
            throw c.bad("more than " + (METADATA >> 20) + " MiB of metadata");
        if (type != 9)
            return scalar(c, key, type);
        long of = c.u32();
        int width = switch ((int) Math.min(of, 99)) {
            case 0, 1, 7 -> 1;
            case 2, 3 -> 2;
            case 4, 5, 6 -> 4;
            case 8, 10, 11, 12 -> 8;
            default -> throw c.bad("metadata '" + key + "' is a list of type " + of + ", which GGUF does not have"
                    + (of == 9 ? " or Gyre does not read" : ""));
        };
        long n = c.count("entries of '" + key + "'", width);
        if (n * width > METADATA)
            throw c.bad("'" + key + "' has more than " + (METADATA >> 20) + " MiB");
        if (of == 8) {
            if (n > MOST_TEXTS)
                throw c.bad("'" + key + "' has " + n + " texts, more than " + MOST_TEXTS);
            List<String> all = new ArrayList<>();
            for (long i = 0; i < n; i++) {
                all.add(c.text("an entry of '" + key + "'", METADATA));
                if (c.at() - begin > METADATA)
                    throw c.bad("more than " + (METADATA >> 20) + " MiB of metadata");
            }
            return Collections.unmodifiableList(all);
        }
        double[] all = new double[(int) n];
        for (int i = 0; i < n; i++)
            all[i] = scalar(c, key, of) instanceof Number x ? x.doubleValue() : 0;
        return all;
    }

    private static Object scalar(Cursor c, String key, long type) throws IOException {
        return switch ((int) Math.min(type, 99)) {
            case 0 -> (long) c.u8();
            case 1 -> (long) (byte) c.u8();
            case 2 -> (long) (c.need(2).getShort() & 0xFFFF);
            case 3 -> (long) c.need(2).getShort();
            case 4 -> c.u32();
            case 5 -> (long) (int) c.u32();
            case 6 -> shortest(c.need(4).getFloat());
            case 7 -> c.u8() != 0;
            case 8 -> c.text("'" + key + "'", METADATA);
            case 10, 11 -> c.i64();
            case 12 -> c.need(8).getDouble();
            default -> throw c.bad("metadata '" + key + "' is of type " + type + ", which GGUF does not have");
        };
    }

    /// The number that somebody wrote: 1e-5, not the digits of the float next to it.
    private static double shortest(float f) {
        return Float.isFinite(f) ? Double.parseDouble(Float.toString(f)) : f;
    }

    private GgufTensor entry(Cursor c, long alignment) throws IOException {
        String name = c.text("the name of a tensor", NAME);
        long n = c.u32();
        if (n < 1 || n > MOST_DIMS)
            throw c.bad("tensor '" + name + "' has " + n + " dimensions, not 1 to " + MOST_DIMS);
        List<Long> dims = new ArrayList<>();
        long size = 1;
        for (long i = 0; i < n; i++) {
            long d = c.i64();
            if (d < 1 || d > (1L << 48) / size)
                throw c.bad("tensor '" + name + "' has a dimension of " + Long.toUnsignedString(d)
                        + (d < 1 ? "" : ", larger than any file"));
            dims.add(d);
            size *= d;
        }
        if (dims.getFirst() > Integer.MAX_VALUE || size / dims.getFirst() > Integer.MAX_VALUE)
            throw c.bad("tensor '" + name + "' has more rows or columns than Gyre reads");
        long id = c.u32();
        GgufType type = GgufType.of(id);
        if (type == null)
            throw new FormatException(file, "tensor '" + name + "' is of the type " + GgufType.name(id)
                    + ", which Gyre does not read; get the model in one of " + GgufType.all());
        if (dims.getFirst() % type.size != 0)
            throw c.bad("tensor '" + name + "' has rows of " + dims.getFirst() + " values, no multiple of the "
                    + type.size + " of a block of " + type);
        long offset = c.i64();
        if (offset < 0 || offset % alignment != 0)
            throw c.bad("tensor '" + name + "' begins at " + Long.toUnsignedString(offset)
                    + " of the data, no multiple of the alignment " + alignment);
        return new GgufTensor(name, type, dims, offset, size / type.size * type.bytes);
    }

    /// From places in the data to places in the file.
    private void place(List<GgufTensor> found, long start, long size) {
        long data = size - start;
        List<GgufTensor> inOrder = new ArrayList<>(found);
        inOrder.sort(Comparator.comparingLong(GgufTensor::begin));
        long position = 0;
        String before = "";
        for (GgufTensor t : inOrder) {
            if (data < 0 || t.begin() > data || t.bytes() > data - t.begin())
                throw bad("tensor '" + t.name() + "': ", t.bytes() + " bytes from " + t.begin() + " on leave the "
                        + Math.max(0, data) + " data bytes of the file, which is truncated or damaged");
            if (t.begin() < position)
                throw bad("tensor '" + t.name() + "': ", "overlaps " + before);
            position = t.begin() + t.bytes();
            before = "tensor '" + t.name() + "'";
        }
        for (GgufTensor t : found)
            if (tensors.put(t.name(),
                    new GgufTensor(t.name(), t.type(), t.dims(), start + t.begin(), t.bytes())) != null)
                throw bad("tensor '" + t.name() + "': ", "is given twice");
    }

    private FormatException bad(String place, String problem) {
        return new FormatException(file, place + problem + "; get the file again");
    }

    public Path file() {
        return file;
    }

    /// In the file's order.
    public Map<String, GgufTensor> tensors() {
        return Collections.unmodifiableMap(tensors);
    }

    public boolean has(String key) {
        return metadata.containsKey(key);
    }

    public List<String> keys() {
        return List.copyOf(metadata.keySet());
    }

    private FormatException wrong(String key, String expected) {
        return bad("metadata '" + key + "': ", (metadata.containsKey(key) ? "is not " : "is missing, ") + expected);
    }

    public String text(String key) {
        if (!(metadata.get(key) instanceof String s))
            throw wrong(key, "a text");
        return s;
    }

    public String text(String key, String absent) {
        return metadata.containsKey(key) ? text(key) : absent;
    }

    public boolean flag(String key, boolean absent) {
        if (!metadata.containsKey(key))
            return absent;
        if (!(metadata.get(key) instanceof Boolean b))
            throw wrong(key, "true or false");
        return b;
    }

    public long integer(String key) {
        if (!(metadata.get(key) instanceof Long n))
            throw wrong(key, "a whole number");
        return n;
    }

    public long integer(String key, long absent) {
        return metadata.containsKey(key) ? integer(key) : absent;
    }

    /// A number from 0 to what an `int` holds.
    public int size(String key) {
        long n = integer(key);
        if (n < 0 || n > Integer.MAX_VALUE)
            throw wrong(key, "a number from 0 to " + Integer.MAX_VALUE);
        return (int) n;
    }

    public double number(String key) {
        if (metadata.get(key) instanceof Number n && Double.isFinite(n.doubleValue()))
            return n.doubleValue();
        throw wrong(key, "a number");
    }

    public double number(String key, double absent) {
        return metadata.containsKey(key) ? number(key) : absent;
    }

    /// The number of each layer, where the file has one for all or a list.
    public double[] perLayer(String key, int layers) {
        Object v = metadata.get(key);
        if (v instanceof double[] all) {
            if (all.length != layers)
                throw wrong(key, "a number for each of the " + layers + " layers");
            return all.clone();
        }
        double[] same = new double[layers];
        Arrays.fill(same, number(key));
        return same;
    }

    public double[] numbers(String key) {
        if (!(metadata.get(key) instanceof double[] all))
            throw wrong(key, "a list of numbers");
        return all.clone();
    }

    public List<String> texts(String key) {
        if (!(metadata.get(key) instanceof List<?> all) || !all.stream().allMatch(String.class::isInstance))
            throw wrong(key, "a list of texts");
        return all.stream().map(String.class::cast).toList();
    }

    /// Takes a piece of a tensor.
    public interface Sink {
        /// @param piece rows `first ..` of the tensor as stored
        void take(ByteBuffer piece, int first, int rows) throws IOException;
    }

    /// Reads a tensor, whole rows at a time.
    public void rows(GgufTensor t, Sink sink) throws IOException {
        rows(t, 0, t.rows(), sink);
    }

    /// Reads `count` rows of a tensor from row `from` on.
    void rows(GgufTensor t, int from, int count, Sink sink) throws IOException {
        long row = t.type().row(t.columns());
        if (row > Integer.MAX_VALUE - 8)
            throw bad("tensor '" + t.name() + "': ", "has rows of " + row + " bytes, more than Gyre reads");
        int step = (int) Math.max(1, WINDOW / row);
        ByteBuffer piece = ByteBuffer.allocate(Math.toIntExact(Math.min(count, step) * row))
                .order(ByteOrder.LITTLE_ENDIAN);
        for (int first = from; first < from + count; first += step) {
            int n = Math.min(step, from + count - first);
            fully(piece.clear().limit((int) (n * row)), t.begin() + first * row);
            sink.take(piece.flip(), first, n);
        }
    }

    /// Whether two tensors of one type and shape have the same bytes.
    boolean same(GgufTensor a, GgufTensor b) {
        int step = (int) Math.max(1, WINDOW / a.type().row(a.columns()));
        boolean[] same = {true};
        try {
            for (int first = 0; first < a.rows() && same[0]; first += step) {
                int at = first;
                int n = Math.min(step, a.rows() - first);
                rows(a, at, n, (mine, _, _) -> rows(b, at, n, (other, _, _) -> same[0] = mine.equals(other)));
            }
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        return same[0];
    }

    /// The values of a tensor.
    ///
    /// @param into takes them, row-major
    /// @param place of a row there
    public void read(GgufTensor t, float[] into, IntUnaryOperator place) {
        int C = t.columns();
        try {
            rows(t, (piece, first, n) -> {
                for (int r = 0; r < n; r++)
                    GgufBlocks.decode(t.type(), piece, into, place.applyAsInt(first + r) * C, C);
            });
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    private void fully(ByteBuffer into, long position) throws IOException {
        while (into.hasRemaining()) {
            int n = channel.read(into, position);
            if (n < 0)
                throw bad("byte " + position + ": ", "the file ends here, it became shorter while open");
            position += n;
        }
    }

    @Override
    public void close() {
        closeQuietly(channel);
    }
}
