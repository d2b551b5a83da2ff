package dev.gyre.trainer.data;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A table as text (RFC 4180) with the names of its columns in the first line. Cells are separated by commas, semicolons or
/// tabs, whichever the first line has most of; one with a separator, a quotation mark or a line break in it stands in
/// quotation marks, doubled inside. An empty cell without quotation marks is absent.
public final class CsvTable implements Closeable {
    private final Path file;
    private final InputStream in;
    private final List<String> columns;
    private final int separator;

    private byte[] buffer = new byte[1 << 12];
    private int n;
    private int line = 1;
    private int ahead = -2;

    /// A record and where it is.
    ///
    /// @param cells one for each column, null for absent ones
    /// @param line on which it starts
    public record Record(List<@Nullable String> cells, int line) {
    }

    /// @param in bytes of the file; one that can be marked
    public CsvTable(Path file, InputStream in) throws IOException {
        this.file = file;
        this.in = in;
        in.mark(HEAD);
        separator = separator(in.readNBytes(HEAD - 1));
        in.reset();
        List<@Nullable String> head = record();
        columns = new ArrayList<>();
        if (head != null)
            for (String name : head) {
                String column = name == null ? "" : name.strip();
                if (column.isEmpty() && columns.size() > 0 && columns.size() + 1 < head.size())
                    throw new DataException(file, 1, "column " + (columns.size() + 1)
                            + " has no name; the first line must name the columns");
                if (!column.isEmpty() && columns.contains(column))
                    throw new DataException(file, 1, "two columns are called '" + column + "'");
                columns.add(column);
            }
    }

    /// Bytes that the first line is looked for in.
    private static final int HEAD = 1 << 14;

    private static int separator(byte[] head) {
        int[] count = new int[3];
        boolean quoted = false;
        for (byte b : head) {
            if (b == '"')
                quoted = !quoted;
            if (b == '\n' && !quoted)
                break;
            int k = quoted ? -1 : SEPARATORS.indexOf(b);
            if (k >= 0)
                count[k]++;
        }
        int best = 0;
        for (int k = 1; k < 3; k++)
            if (count[k] > count[best])
                best = k;
        return SEPARATORS.charAt(best);
    }

    private static final String SEPARATORS = ",;\t";

    /// Names of the columns; one without a name is empty.
    public List<String> columns() {
        return List.copyOf(columns);
    }

    /// The next record, or null at the end.
    public @Nullable Record next() throws IOException {
        while (true) {
            int at = line;
            List<@Nullable String> cells = record();
            if (cells == null)
                return null;
            if (cells.size() == 1 && cells.getFirst() == null && columns.size() > 1)
                continue; // an empty line
            if (cells.size() != columns.size())
                throw new DataException(file, at, "has " + cells.size() + " cells where the first line names "
                        + columns.size() + " columns; a cell with a separator or a line break in it needs quotation"
                        + " marks around it");
            return new Record(cells, at);
        }
    }

    private int read() throws IOException {
        if (ahead != -2) {
            int c = ahead;
            ahead = -2;
            return c;
        }
        return in.read();
    }

    private void put(int c) {
        if (n == buffer.length)
            buffer = Arrays.copyOf(buffer, 2 * n);
        buffer[n++] = (byte) c;
    }

    /// The cells of the next record, null for empty ones; null at the end of the file.
    private @Nullable List<@Nullable String> record() throws IOException {
        List<@Nullable String> out = new ArrayList<>();
        int c = read();
        if (c < 0)
            return null;
        int begun = line;
        while (true) {
            n = 0;
            boolean quoted = false;
            // a byte order mark before the first quotation mark
            if (begun == 1 && out.isEmpty() && c == 0xEF) {
                int b = read();
                int d = read();
                if (b == 0xBB && d == 0xBF)
                    c = read();
                else {
                    put(c);
                    put(b);
                    c = d;
                }
            }
            if (c == '"' && n == 0) {
                quoted = true;
                int opened = line;
                while (true) {
                    c = read();
                    if (c < 0)
                        throw new DataException(file, opened,
                                "a quotation mark is not closed up to the end of the file");
                    if (c == '"') {
                        c = read();
                        if (c != '"')
                            break;
                    } else
                        if (c == '\n')
                            line++;
                    put(c);
                }
                if (c == '\r') {
                    c = read();
                    if (c != '\n' && c >= 0)
                        throw stray(c);
                }
                if (c >= 0 && c != separator && c != '\n')
                    throw stray(c);
            } else
                while (c >= 0 && c != separator && c != '\n') {
                    put(c);
                    c = read();
                }
            if (!quoted && n > 0 && (c == '\n' || c < 0) && buffer[n - 1] == '\r')
                n--;
            out.add(!quoted && n == 0 ? null : Rows.decode(file, line, buffer, n));
            if (c == '\n')
                line++;
            if (c != separator)
                return out;
            c = read();
        }
    }

    private DataException stray(int c) {
        return new DataException(file, line, "'" + (c >= ' ' && c < 127 ? String.valueOf((char) c) : "more")
                + "' follows a closing quotation mark; one inside a cell must be doubled");
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
