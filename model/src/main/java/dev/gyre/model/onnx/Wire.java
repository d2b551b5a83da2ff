package dev.gyre.model.onnx;

import dev.gyre.model.files.FormatException;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/// Reads the fields of one protocol buffers message that lies in a file from one byte to another, without holding more of
/// it than a buffer: what a field says of its length is held against the message around it before it is used, and the
/// payload of a tensor is only passed over.
///
///     while (w.next())
///         switch (w.field()) {
///             case 1 -> name = w.text();
///             default -> w.skip();
///         }
final class Wire {
    private static final int WINDOW = 1 << 16;
    /// Bytes of a name or text; known ones have some hundred.
    private static final int TEXT_LIMIT = 1 << 16;
    static final int VARINT = 0;
    static final int FIXED64 = 1;
    static final int BYTES = 2;
    static final int FIXED32 = 5;

    private final Source source;
    private final long end;
    private long at;
    private int field;
    private int type;
    /// Where the field at hand begins and ends; of a number only its end is known when it has been read.
    private long valueAt;
    private long valueEnd;

    /// A file with a window on it that the messages in it share.
    private static final class Source {
        final Path file;
        final FileChannel channel;
        final ByteBuffer window = ByteBuffer.allocate(WINDOW);
        long begin;
        int length;

        Source(Path file, FileChannel channel) {
            this.file = file;
            this.channel = channel;
        }

        int read(long at) throws IOException {
            if (at < begin || at >= begin + length) {
                window.clear();
                length = Math.max(0, channel.read(window, at));
                begin = at;
                if (length == 0)
                    throw new EOFException("the file became shorter while it was read");
            }
            return window.get((int) (at - begin)) & 0xff;
        }
    }

    private Wire(Source source, long at, long end) {
        this.source = source;
        this.at = at;
        this.end = end;
    }

    static Wire of(Path file, FileChannel channel) throws IOException {
        return new Wire(new Source(file, channel), 0, channel.size());
    }

    /// Goes to the next field; false at the end of the message.
    boolean next() throws IOException {
        if (at == end)
            return false;
        long key = number();
        field = (int) Math.min(Integer.MAX_VALUE, key >>> 3);
        type = (int) (key & 7);
        if (field == 0)
            throw bad("has a field with the number 0");
        valueAt = at;
        switch (type) {
            case VARINT -> valueEnd = -1;
            case FIXED64 -> valueEnd = at + 8;
            case FIXED32 -> valueEnd = at + 4;
            case BYTES -> {
                long n = number();
                if (n < 0 || n > end - at)
                    throw bad("has a field of " + Long.toUnsignedString(n) + " bytes in a message of which "
                            + (end - at) + " are left");
                valueAt = at;
                valueEnd = at + n;
            }
            default -> throw bad("has a field of the wire type " + type + ", which ONNX does not use");
        }
        if (valueEnd > end)
            throw bad("ends within a number");
        return true;
    }

    int field() {
        return field;
    }

    int type() {
        return type;
    }

    /// Passes over the field.
    void skip() throws IOException {
        if (type == VARINT)
            number();
        else
            at = valueEnd;
    }

    /// Where the bytes of the field are in the file.
    long position() {
        return valueAt;
    }

    long length() {
        return valueEnd - valueAt;
    }

    /// The number of the field.
    long varint() throws IOException {
        need(VARINT);
        return number();
    }

    float float32() throws IOException {
        need(FIXED32);
        int bits = 0;
        for (int i = 0; i < 4; i++)
            bits |= source.read(at++) << 8 * i;
        return Float.intBitsToFloat(bits);
    }

    String text() throws IOException {
        byte[] b = bytes(TEXT_LIMIT);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(b)).toString();
        } catch (CharacterCodingException e) {
            throw bad("has a name that is not UTF-8");
        }
    }

    /// The bytes of the field, at most `limit`.
    byte[] bytes(int limit) throws IOException {
        need(BYTES);
        if (length() > limit)
            throw bad("has " + length() + " bytes where at most " + limit + " are expected");
        byte[] b = new byte[(int) length()];
        for (int i = 0; i < b.length; i++)
            b[i] = (byte) source.read(at++);
        return b;
    }

    /// The message of the field, which is passed over here.
    Wire message() throws IOException {
        need(BYTES);
        at = valueEnd;
        return new Wire(source, valueAt, valueEnd);
    }

    /// The numbers of a field that is repeated, in one piece or one by one.
    long[] numbers(int limit) throws IOException {
        if (type == VARINT)
            return new long[] {number()};
        Wire in = message();
        // a number takes at least a byte
        if (in.end - in.at > 10L * limit)
            throw bad("has a list of " + (in.end - in.at) + " bytes where at most " + limit + " numbers are expected");
        long[] out = new long[(int) Math.min(limit, in.end - in.at)];
        int n = 0;
        while (in.at < in.end) {
            if (n == out.length)
                throw bad("has a list of more than " + limit + " numbers");
            out[n++] = in.number();
        }
        return java.util.Arrays.copyOf(out, n);
    }

    private long number() throws IOException {
        long v = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            if (at == end)
                throw bad("ends within a number");
            int b = source.read(at++);
            v |= (long) (b & 127) << shift;
            if (b < 128)
                return v;
        }
        throw bad("has a number of more than ten bytes");
    }

    private void need(int wanted) {
        if (type != wanted)
            throw bad("has field " + field + " in the wire type " + type + ", expected " + wanted);
    }

    FormatException bad(String problem) {
        return new FormatException(source.file, "byte " + at + ": " + problem
                + "; this is no ONNX model, or a damaged one: get it again");
    }
}
