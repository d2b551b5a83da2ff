package dev.gyre.trainer.data;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// Plain text in pieces of about [#PIECE] characters, cut between lines, so that a tokenizer never sees a whole book at once.
final class TextRows implements Rows {
    private static final int PIECE = 1 << 16;

    private final InputStream in;
    private final Lines lines;
    private final StringBuilder piece = new StringBuilder();
    private int first = 1;

    TextRows(Path file, InputStream in) {
        this.in = in;
        this.lines = new Lines(file, in);
    }

    @Override
    public @Nullable Row next() throws IOException {
        for (String text = lines.next(); text != null; text = lines.next()) {
            Row out = null;
            // a cut inside a run of white space would change tokens; before a word it does not
            if (piece.length() >= PIECE && !Character.isWhitespace(text.charAt(0))) {
                out = take();
                first = lines.line();
            }
            piece.append(text);
            if (out != null)
                return out;
        }
        return piece.isEmpty() ? null : take();
    }

    private Row take() {
        Row r = new Row(new Example.Text(piece.toString()), first);
        piece.setLength(0);
        return r;
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
