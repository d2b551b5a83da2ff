package dev.gyre.trainer.data;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Lines of a UTF-8 file, each with its line break.
final class Lines {
    private final Path file;
    private final InputStream in;
    private byte[] buffer = new byte[1 << 12];
    private int line;
    private boolean ended;

    Lines(Path file, InputStream in) {
        this.file = file;
        this.in = in;
    }

    /// The next one, or null at the end.
    @Nullable
    String next() throws IOException {
        if (ended)
            return null;
        int n = 0;
        int c;
        do {
            c = in.read();
            if (c < 0)
                break;
            if (n == buffer.length)
                buffer = Arrays.copyOf(buffer, 2 * n);
            buffer[n++] = (byte) c;
        } while (c != '\n');
        ended = c < 0;
        line++;
        return n == 0 ? null : Rows.decode(file, line, buffer, n);
    }

    /// Number of the line that was read last, from 1.
    int line() {
        return line;
    }
}
