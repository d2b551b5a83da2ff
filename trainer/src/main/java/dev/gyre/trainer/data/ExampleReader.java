package dev.gyre.trainer.data;

import dev.gyre.model.files.Inputs;
import dev.gyre.trainer.config.RunConfig.Format;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// Reads files of examples: objects with `text`, with `prompt` and `completion`, with `messages`, or as data sets for
/// other trainers have it, `instruction`, `input` and `output` (Alpaca) or `conversations` (ShareGPT); kinds may be mixed,
/// null is as good as absent. Keys that say more about what is trained on or seen are honoured or refused by name; others,
/// such as ids, are ignored. The objects are lines of JSON, elements of a JSON list, rows of a table (CSV, Parquet). Or plain
/// text.
public final class ExampleReader {
    /// Files of examples that are not read; as running text they would train on nonsense without a word.
    private static final List<String> TABLES = List.of(".arrow", ".xlsx", ".xls", ".ods", ".feather", ".orc", ".avro");
    private static final List<String> PACKED = List.of(".zst", ".zip", ".bz2", ".xz", ".7z", ".tar", ".tgz", ".rar");
    private static final String GZIP = ".gz";

    private ExampleReader() {
    }

    /// Receives examples with the line on which they start.
    @FunctionalInterface
    public interface Sink {
        void accept(Example example, int line);
    }

    /// Receives examples until it has enough.
    @FunctionalInterface
    interface Until {
        /// Whether more are wanted.
        boolean accept(Example example, int line);
    }

    /// AUTO decided by the file's name.
    public static Format format(Path file, Format wanted) {
        if (wanted != Format.AUTO)
            return wanted;
        String whole = name(file);
        String name = whole.endsWith(GZIP) ? whole.substring(0, whole.length() - GZIP.length()) : whole;
        if (PACKED.stream().anyMatch(name::endsWith))
            throw new DataException(file, "is packed in a way that is not read; unpack it, or pack it with gzip");
        if (TABLES.stream().anyMatch(name::endsWith))
            throw new DataException(file, "is a table of a kind that is not read; write it as CSV, Parquet or lines of"
                    + " JSON (.jsonl), or set data.format: text to train on it as running text");
        if (name.endsWith(".parquet"))
            return Format.PARQUET;
        return name.endsWith(".csv") || name.endsWith(".tsv") ? Format.CSV
                : name.endsWith(".jsonl") || name.endsWith(".json") || name.endsWith(".ndjson") ? Format.JSONL
                : Format.TEXT;
    }

    private static String name(Path file) {
        return String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    }

    /// Hands all examples of `file` to `sink`, in order. Plain text arrives as consecutive [Example.Text] pieces.
    public static void read(Path file, Format format, Sink sink) {
        read(file, format, RowKeys.NONE, (example, line) -> {
            sink.accept(example, line);
            return true;
        });
    }

    /// As long as `sink` wants more; whether it does at the end of the file.
    static boolean read(Path file, Format format, RowKeys keys, Until sink) {
        try (Rows rows = open(file, format, keys)) {
            for (Rows.Row r = next(file, rows); r != null; r = next(file, rows))
                if (!sink.accept(r.example(), r.line()))
                    return false;
            return true;
        } catch (IOException e) {
            throw failed(file, e);
        }
    }

    private static DataException failed(Path file, IOException e) {
        return switch (e) {
            case NoSuchFileException _ ->
                    new DataException(file, "no such file; paths are relative to " + Path.of("").toAbsolutePath());
            case EOFException _ -> new DataException(file, "ends before its content does; is the file complete?");
            default -> new DataException(file, Files.isDirectory(file) ? DIRECTORY
                    : "cannot be read: " + e.getMessage());
        };
    }

    /// The next row of an open file; null at its end, where it is closed.
    static Rows.@Nullable Row next(Path file, Rows rows) {
        try {
            Rows.Row r = rows.next();
            if (r == null)
                rows.close();
            return r;
        } catch (IOException e) {
            throw failed(file, e);
        }
    }

    static Rows open(Path file, Format format, RowKeys keys) {
        if (Inputs.isSpecial(file))
            throw new DataException(file, "is a pipe, a socket or a device, not a file; name a file of examples");
        try {
            return opened(file, format(file, format), keys);
        } catch (IOException e) {
            throw failed(file, e);
        }
    }

    private static final String DIRECTORY = "is a directory; name a file of examples";

    private static Rows opened(Path file, Format format, RowKeys keys) throws IOException {
        if (Files.isDirectory(file))
            throw new DataException(file, DIRECTORY);
        boolean packed = name(file).endsWith(GZIP);
        if (format == Format.PARQUET) {
            if (packed)
                throw new DataException(file, "is Parquet packed with gzip once more; unpack it");
            return new ParquetRows(file, keys);
        }
        InputStream in = Files.newInputStream(file);
        try {
            if (packed)
                in = new GZIPInputStream(in, 1 << 16);
            InputStream buffered = new BufferedInputStream(in, 1 << 16);
            return switch (format) {
                case JSONL -> new JsonRows(file, buffered, keys);
                case CSV -> new CsvRows(file, buffered, keys);
                case TEXT -> new TextRows(file, buffered);
                case PARQUET, AUTO -> throw new AssertionError(format);
            };
        } catch (IOException | RuntimeException | Error e) {
            in.close();
            throw e;
        }
    }

    /// The example that an object is.
    static Example example(Path file, int line, ObjectNode given, RowKeys keys) {
        ObjectNode o = present(keys.renamed(file, line, given));
        JsonNode messages = o.get("messages");
        JsonNode conversations = o.get("conversations");
        boolean chat = messages != null || conversations != null;
        if (!chat && o.has("chosen") && o.has("rejected"))
            throw new DataException(file, line,
                    "is preference data (chosen and rejected), which a run.yaml with a section"
                            + " preference trains on; fine-tuning needs prompt and completion, or messages");
        // of a prompt beside messages the messages are the whole, as TRL has it
        boolean completion = o.has("completion") || o.has("prompt") && !chat;
        // Alpaca files may carry the whole as `text` beside; the parts say what is to be trained on
        boolean instruction = o.has("instruction");
        boolean plain = o.has("text") && !instruction;
        int kinds = (plain ? 1 : 0) + (completion ? 1 : 0) + (instruction ? 1 : 0) + (messages == null ? 0 : 1)
                + (conversations == null ? 0 : 1);
        if (kinds != 1)
            throw new DataException(file, line, (kinds == 0 ? "has none" : "has more than one")
                    + " of: text; prompt and completion; messages; instruction and output; conversations. Give exactly"
                    + " one; data.keys maps other names" + found(o));
        if (plain)
            return new Example.Text(string(file, line, o, "text"));
        if (instruction)
            return alpaca(file, line, o);
        if (completion && !(o.path("prompt").isArray() || o.path("completion").isArray())) {
            for (String key : List.of("system", "system_prompt", "history"))
                if (!isEmpty(o.path(key)))
                    throw new DataException(file, line, "'" + key + "' beside prompt and completion is not supported;"
                            + " write it into 'prompt', or use messages");
            return new Example.Completion(string(file, line, o, "prompt"), string(file, line, o, "completion"));
        }
        return new Chats(file, line, o).read(messages, conversations);
    }

    /// Data sets with rows of several kinds have null in the columns that a row does not use.
    private static ObjectNode present(ObjectNode o) {
        ObjectNode out = JsonRows.LINE.createObjectNode();
        for (Map.Entry<String, JsonNode> e : o.properties())
            if (!e.getValue().isNull())
                out.set(e.getKey(), e.getValue());
        return out;
    }

    static boolean isEmpty(JsonNode v) {
        return v.isString() ? List.of("", "[]", "{}").contains(v.stringValue().strip()) : v.isContainer() ? v.isEmpty()
                : v.isMissingNode() || v.isNull();
    }

    /// In the words that such data sets are used with. A system text takes the place of the introduction; earlier turns
    /// come before the task in the same form.
    private static Example alpaca(Path file, int line, ObjectNode o) {
        String input = o.has("input") ? string(file, line, o, "input") : "";
        List<String> system = Stream.of("system", "system_prompt").filter(k -> !isEmpty(o.path(k))).toList();
        if (system.size() > 1)
            throw new DataException(file, line, "has both 'system' and 'system_prompt'; give one");
        StringBuilder s = new StringBuilder();
        if (system.isEmpty())
            s.append("Below is an instruction that describes a task")
                    .append(input.isBlank() ? "" : ", paired with an input that provides further context")
                    .append(". Write a response that appropriately completes the request.");
        else
            s.append(string(file, line, o, system.getFirst()).strip());
        if (!isEmpty(o.path("history")))
            for (JsonNode turn : o.path("history")) {
                if (!turn.isArray() || turn.size() != 2 || !turn.path(0).isString() || !turn.path(1).isString())
                    throw new DataException(file, line, "'history' must be a list of [question, answer]");
                s.append("\n\n### Instruction:\n").append(turn.path(0).stringValue())
                        .append("\n\n### Response:\n").append(turn.path(1).stringValue());
            }
        s.append("\n\n### Instruction:\n").append(string(file, line, o, "instruction"));
        if (!input.isBlank())
            s.append("\n\n### Input:\n").append(input);
        return new Example.Completion(s + "\n\n### Response:\n", string(file, line, o, "output"));
    }

    static String found(ObjectNode o) {
        List<String> keys = new ArrayList<>(o.propertyNames());
        return keys.isEmpty() ? ""
                : " (keys here: " + String.join(", ", keys.subList(0, Math.min(8, keys.size()))) + ")";
    }

    static String string(Path file, int line, ObjectNode o, String key) {
        @Nullable JsonNode v = o.get(key);
        if (v == null)
            throw new DataException(file, line, "'" + key + "' is missing");
        if (!v.isString())
            throw new DataException(file, line, "'" + key + "' must be a string");
        return v.stringValue();
    }
}
