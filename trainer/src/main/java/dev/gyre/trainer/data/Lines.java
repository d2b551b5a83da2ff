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
    private final byte[] piece = new byte[1 << 16];
    private int at;
    private int end;
    private byte[] buffer = new byte[1 << 12];
    private int line;

    Lines(Path file, InputStream in) {
        this.file = file;
        this.in = in;
    }

    /// The next one, or null at the end.
    @Nullable
    String next() throws IOException {
        int n = 0;
        boolean whole = false;
        while (!whole) {
            if (at == end) {
                end = in.read(piece);
                at = 0;
                if (end <= 0) {
                    end = 0;
                    break;
                }
            }
            int from = at;
            while (at < end && piece[at] != '\n')
                at++;
            whole = at < end;
            if (whole)
                at++;
            if (n + at - from > buffer.length)
                buffer = Arrays.copyOf(buffer, Math.max(2 * buffer.length, n + at - from));
            System.arraycopy(piece, from, buffer, n, at - from);
            n += at - from;
        }
        if (n == 0)
            return null;
        line++;
        return Rows.decode(file, line, buffer, n);
    }

    /// Number of the line that was read last, from 1.
    int line() {
        return line;
    }
}
