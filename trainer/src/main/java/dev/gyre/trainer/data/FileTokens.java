package dev.gyre.trainer.data;

import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.function.LongConsumer;

/// Tokens in two files: `tokens.bin`, the codes of all examples, and `index.bin`, a record for each example. Numbers are
/// little-endian. On the heap are only the lengths, four bytes an example, because rows are packed by them. Files are read
/// piece by piece rather than mapped: mapped pages count as memory of the process.
final class FileTokens implements TokenStore {
    static final String TOKENS = "tokens.bin";
    static final String INDEX = "index.bin";
    /// Bytes of a record: length (4), place (4), line (4), hash of the content (8).
    private static final int RECORD = 20;
    /// Every so many examples the offset is kept; those between follow from the lengths.
    private static final int MARK = 64;
    private static final int PIECE = 1 << 20;

    private final Path where;
    private final FileChannel tokens;
    private final FileChannel index;
    private final int width;
    private final int[] length;
    private final long[] mark;
    private ByteBuffer codes = buffer(1 << 12);

    private FileTokens(Path where, FileChannel tokens, FileChannel index, int width, int[] length) {
        this.where = where;
        this.tokens = tokens;
        this.index = index;
        this.width = width;
        this.length = length;
        this.mark = new long[length.length / MARK + 1];
        long at = 0;
        for (int i = 0; i < length.length; i++) {
            if (i % MARK == 0)
                mark[i / MARK] = at;
            at += length[i];
        }
        if (length.length % MARK == 0)
            mark[length.length / MARK] = at;
    }

    private static ByteBuffer buffer(int n) {
        return ByteBuffer.allocate(n).order(ByteOrder.LITTLE_ENDIAN);
    }

    /// What a [Writer] wrote into a folder.
    ///
    /// @param size examples
    /// @param width bytes of a code, 2 or 4
    /// @param all tokens
    static FileTokens open(Path folder, int size, int width, long all) {
        try {
            FileChannel tokens = FileChannel.open(folder.resolve(TOKENS), StandardOpenOption.READ);
            FileChannel index = FileChannel.open(folder.resolve(INDEX), StandardOpenOption.READ);
            if (tokens.size() != all * width || index.size() != (long) size * RECORD)
                throw damaged(folder);
            FileTokens t = new FileTokens(folder, tokens, index, width, lengths(folder, index, size));
            if (t.offset(size) != all)
                throw damaged(folder);
            return t;
        } catch (IOException e) {
            throw FormatException.unreadable(folder, e);
        }
    }

    private static FormatException damaged(Path folder) {
        return new FormatException(folder, "holds a damaged file of tokens; remove the folder, it is made again");
    }

    private static int[] lengths(Path where, FileChannel index, int size) {
        int[] out = new int[size];
        records(where, index, size, (i, b) -> out[i] = b.getInt());
        return out;
    }

    private interface Record {
        void accept(int i, ByteBuffer record);
    }

    private static void records(Path where, FileChannel index, int size, Record to) {
        ByteBuffer b = buffer(PIECE / RECORD * RECORD);
        for (int i = 0; i < size;) {
            int n = Math.min(size - i, b.capacity() / RECORD);
            b.clear().limit(n * RECORD);
            fill(where, index, b, (long) i * RECORD);
            for (int j = 0; j < n; j++, i++) {
                b.position(j * RECORD);
                to.accept(i, b);
            }
        }
    }

    private static void fill(Path where, FileChannel from, ByteBuffer b, long at) {
        try {
            int begun = b.position();
            while (b.hasRemaining())
                if (from.read(b, at + b.position() - begun) < 0)
                    throw damaged(where);
            b.position(begun);
        } catch (IOException e) {
            throw FormatException.unreadable(where, e);
        }
    }

    private long offset(int i) {
        long at = mark[i / MARK];
        for (int j = i / MARK * MARK; j < i; j++)
            at += length[j];
        return at;
    }

    @Override
    public int size() {
        return length.length;
    }

    @Override
    public int length(int i) {
        return length[i];
    }

    @Override
    public void read(int i, int[] to) {
        int n = length[i];
        if (codes.capacity() < n * width)
            codes = buffer(n * width);
        codes.clear().limit(n * width);
        fill(where, tokens, codes, offset(i) * width);
        for (int j = 0; j < n; j++)
            to[j] = width == 2 ? codes.getShort() & 0xffff : codes.getInt();
    }

    @Override
    public Place place(int i) {
        ByteBuffer b = buffer(RECORD);
        fill(where, index, b, (long) i * RECORD);
        return Place.of(b.getInt(4), b.getInt(8));
    }

    @Override
    public void hashes(LongConsumer to) {
        records(where, index, length.length, (_, b) -> to.accept(b.getLong(b.position() + 12)));
    }

    @Override
    public long heapBytes() {
        return 4L * length.length + 8L * mark.length;
    }

    /// Writes the two files.
    static final class Writer implements AutoCloseable {
        private final Path folder;
        private final int width;
        private final FileChannel tokens;
        private final FileChannel index;
        private final ByteBuffer codes = buffer(PIECE);
        private final ByteBuffer records = buffer(PIECE);
        private int[] length = new int[1 << 16];
        private int size;

        /// @param temporary whether the files are gone when nobody has them open any more
        Writer(Path folder, int width, boolean temporary) {
            this.folder = folder;
            this.width = width;
            try {
                tokens = open(folder.resolve(TOKENS), temporary);
                index = open(folder.resolve(INDEX), temporary);
            } catch (IOException e) {
                throw failed(e);
            }
        }

        private static FileChannel open(Path file, boolean temporary) throws IOException {
            return temporary
                    ? FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE,
                            StandardOpenOption.READ, StandardOpenOption.DELETE_ON_CLOSE)
                    : FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE,
                            StandardOpenOption.READ);
        }

        private UncheckedIOException failed(IOException e) {
            return new UncheckedIOException(new IOException(folder + ": tokens cannot be written; "
                    + e.getMessage() + "; data.cache names another folder, data.memory keeps more in memory", e));
        }

        void add(int[] from, int n, Place p, long content) {
            for (int i = 0; i < n; i++) {
                if (codes.remaining() < 4)
                    write(tokens, codes);
                if (width == 4)
                    codes.putInt(from[i]);
                else {
                    if (from[i] >>> 16 != 0)
                        throw new IllegalStateException("token " + (from[i] >> 1) + " in a vocabulary of 32768");
                    codes.putShort((short) from[i]);
                }
            }
            if (records.remaining() < RECORD)
                write(index, records);
            records.putInt(n).putInt(p.packed()).putInt(p.line()).putLong(content);
            if (size == length.length)
                length = Arrays.copyOf(length, (int) Math.min(Integer.MAX_VALUE - 8L, 2L * size));
            length[size++] = n;
        }

        private void write(FileChannel to, ByteBuffer b) {
            b.flip();
            try {
                while (b.hasRemaining())
                    to.write(b);
            } catch (IOException e) {
                throw failed(e);
            }
            b.clear();
        }

        private void flush() {
            write(tokens, codes);
            write(index, records);
        }

        int width() {
            return width;
        }

        /// Ends the writing; the number of examples.
        int finish() {
            flush();
            close();
            return size;
        }

        /// Reads what was written through the same open files.
        FileTokens reader() {
            flush();
            return new FileTokens(folder, tokens, index, width, Arrays.copyOf(length, size));
        }

        @Override
        public void close() {
            try (tokens; index) {
                length = new int[0];
            } catch (IOException e) {
                throw failed(e);
            }
        }
    }
}
