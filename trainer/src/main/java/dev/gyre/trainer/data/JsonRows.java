package dev.gyre.trainer.data;

import dev.gyre.model.files.Json;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// JSON objects, one a line (JSONL) or in one list that may be laid out over many lines: which of them, the first character
/// tells.
final class JsonRows implements Rows {
    /// Of a line, which holds one value and nothing else.
    static final JsonMapper LINE = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();
    /// Of an element of a list, which others follow.
    private static final JsonMapper ELEMENT =
            LINE.rebuild().disable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();
    /// White space that a list may begin with.
    private static final int BLANK = 1 << 12;

    private final Path file;
    private final RowKeys keys;
    private final BufferedInputStream in;
    private final @Nullable Lines lines;
    private final @Nullable JsonParser list;

    JsonRows(Path file, InputStream source, RowKeys keys) throws IOException {
        this.file = file;
        this.keys = keys;
        this.in = source instanceof BufferedInputStream b ? b : new BufferedInputStream(source, 1 << 16);
        if (isList(in)) {
            lines = null;
            list = ELEMENT.createParser(in);
            list.nextToken();
        } else {
            lines = new Lines(file, in);
            list = null;
        }
    }

    private static boolean isList(BufferedInputStream in) throws IOException {
        in.mark(BLANK);
        try {
            for (int i = 0; i < BLANK - 1; i++) {
                int c = in.read();
                boolean mark = i < 3 && (c == 0xEF || c == 0xBB || c == 0xBF);
                if (!mark && c != ' ' && c != '\n' && c != '\r' && c != '\t')
                    return c == '[';
            }
            return false;
        } finally {
            in.reset();
        }
    }

    @Override
    public @Nullable Row next() throws IOException {
        return list != null ? element(list) : lines != null ? line(lines) : null;
    }

    private @Nullable Row line(Lines from) throws IOException {
        for (String text = from.next(); text != null; text = from.next()) {
            if (text.isBlank())
                continue;
            int at = from.line();
            JsonNode node;
            try {
                node = LINE.readTree(text);
            } catch (JacksonException e) {
                int column = e.getLocation() == null ? 0 : e.getLocation().getColumnNr();
                throw new DataException(file, at, "not valid JSON" + (column > 0 ? " at column " + column : "") + ": "
                        + (String.valueOf(e.getOriginalMessage()).contains("CTRL-CHAR, code 10")
                                ? "the line ends inside a string"
                                : Json.reason(e)));
            }
            if (!(node instanceof ObjectNode o))
                throw new DataException(file, at,
                        "not a JSON object; each line must be one, such as {\"text\": \"...\"}");
            return new Row(ExampleReader.example(file, at, o, keys), at);
        }
        return null;
    }

    private @Nullable Row element(JsonParser p) {
        try {
            JsonToken t = p.nextToken();
            if (t == JsonToken.END_ARRAY) {
                if (p.nextToken() != null)
                    throw new DataException(file, p.currentTokenLocation().getLineNr(),
                            "more follows behind the list; the file must be one list of objects, or an object a line");
                return null;
            }
            int at = p.currentTokenLocation().getLineNr();
            if (t == null)
                throw new DataException(file, at, "the list has no end; is the file complete?");
            JsonNode node = ELEMENT.readTree(p);
            if (!(node instanceof ObjectNode o))
                throw new DataException(file, at,
                        "not a JSON object; each element of the list must be one, such as {\"text\": \"...\"}");
            return new Row(ExampleReader.example(file, at, o, keys), at);
        } catch (JacksonException e) {
            int at = e.getLocation() == null ? 1 : e.getLocation().getLineNr();
            throw new DataException(file, at, "not valid JSON at column "
                    + (e.getLocation() == null ? 1 : e.getLocation().getColumnNr()) + ": " + Json.reason(e));
        }
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
