package dev.gyre.trainer.data;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// The examples of one file, one after the other: what each format is read by.
interface Rows extends Closeable {
    /// An example and where it is.
    ///
    /// @param line on which it starts; of a table without lines, the number of its row
    record Row(Example example, int line) {
    }

    /// The next one, or null at the end.
    @Nullable
    Row next() throws IOException;

    /// Text of UTF-8 bytes, without a byte order mark at the beginning of the file.
    static String decode(Path file, int line, byte[] bytes, int n) {
        try {
            String s = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, 0, n)).toString();
            return line == 1 && s.startsWith("\uFEFF") ? s.substring(1) : s;
        } catch (CharacterCodingException e) {
            throw new DataException(file, line, "not UTF-8 text; convert the file to UTF-8");
        }
    }
}
