package dev.gyre.trainer.data;

import dev.gyre.model.files.Inputs;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.config.RunConfig.Format;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// Reads example files line by line: JSONL with `text`, with `prompt` and `completion`, with `messages`, or as data sets for
/// other trainers have it, `instruction`, `input` and `output` (Alpaca) or `conversations` (ShareGPT); kinds may be mixed,
/// null is as good as absent. Keys that say more about what is trained on or seen are honoured or refused by name; others,
/// such as ids, are ignored. Or plain text.
public final class ExampleReader {
    /// A plain text file is handed on in pieces of about this many characters, cut between lines, so that a tokenizer
    /// never sees a whole book at once.
    private static final int PIECE = 1 << 16;

    private static final JsonMapper JSON = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    /// Files of examples that are not read; as running text they would train on nonsense without a word.
    private static final List<String> TABLES = List.of(".csv", ".tsv", ".parquet", ".arrow", ".xlsx");

    private ExampleReader() {
    }

    /// Receives examples with the line on which they start.
    @FunctionalInterface
    public interface Sink {
        void accept(Example example, int line);
    }

    /// AUTO decided by the file's name.
    public static Format format(Path file, Format wanted) {
        if (wanted != Format.AUTO)
            return wanted;
        String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
        if (TABLES.stream().anyMatch(name::endsWith))
            throw new DataException(file, "is a table; write an object with the same keys a line (.jsonl), or set"
                    + " data.format: text to train on it as running text");
        return name.endsWith(".jsonl") || name.endsWith(".json") || name.endsWith(".ndjson") ? Format.JSONL
                : Format.TEXT;
    }

    /// Hands all examples of `file` to `sink`, in order. Plain text arrives as consecutive [Example.Text] pieces.
    public static void read(Path file, Format format, Sink sink) {
        if (Inputs.isSpecial(file))
            throw new DataException(file, "is a pipe, a socket or a device, not a file; name a .jsonl or text file");
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file), 1 << 16)) {
            if (Files.isDirectory(file))
                throw new DataException(file, "is a directory; name a .jsonl or text file");
            switch (format(file, format)) {
                case JSONL -> lines(file, in, (text, line) -> {
                    if (!text.isBlank())
                        sink.accept(parse(file, line, text), line);
                });
                case TEXT -> text(file, in, sink);
                case AUTO -> throw new AssertionError(format);
            }
        } catch (NoSuchFileException e) {
            throw new DataException(file, "no such file; paths are relative to " + Path.of("").toAbsolutePath());
        } catch (IOException e) {
            throw new DataException(file, Files.isDirectory(file) ? "is a directory; name a .jsonl or text file"
                    : "cannot be read: " + e.getMessage());
        }
    }

    private interface LineSink {
        void accept(String text, int line);
    }

    private static void lines(Path file, InputStream in, LineSink sink) throws IOException {
        ByteArrayOutputStream buffer = new ByteArrayOutputStream();
        int line = 1;
        for (int c = in.read();; c = in.read()) {
            if (c >= 0)
                buffer.write(c);
            if (c == '\n' || c < 0) {
                if (buffer.size() > 0)
                    sink.accept(decode(file, line, buffer.toByteArray()), line);
                buffer.reset();
                line++;
            }
            if (c < 0)
                return;
        }
    }

    private static String decode(Path file, int line, byte[] bytes) {
        try {
            String s = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
            return line == 1 && s.startsWith("\uFEFF") ? s.substring(1) : s;
        } catch (CharacterCodingException e) {
            throw new DataException(file, line, "not UTF-8 text; convert the file to UTF-8");
        }
    }

    private static void text(Path file, InputStream in, Sink sink) throws IOException {
        StringBuilder piece = new StringBuilder();
        int[] first = {1};
        lines(file, in, (text, line) -> {
            // a cut inside a run of white space would change tokens; before a word it does not
            if (piece.length() >= PIECE && !Character.isWhitespace(text.charAt(0))) {
                sink.accept(new Example.Text(piece.toString()), first[0]);
                piece.setLength(0);
                first[0] = line;
            }
            piece.append(text);
        });
        if (!piece.isEmpty())
            sink.accept(new Example.Text(piece.toString()), first[0]);
    }

    private static Example parse(Path file, int line, String text) {
        JsonNode node;
        try {
            node = JSON.readTree(text);
        } catch (JacksonException e) {
            if (text.startsWith("[") && line == 1)
                throw new DataException(file, line, "a JSON list; write one object a line (JSONL)");
            int column = e.getLocation() == null ? 0 : e.getLocation().getColumnNr();
            throw new DataException(file, line, "not valid JSON" + (column > 0 ? " at column " + column : "") + ": "
                    + (String.valueOf(e.getOriginalMessage()).contains("CTRL-CHAR, code 10")
                            ? "the line ends inside a string"
                            : Json.reason(e)));
        }
        if (!(node instanceof ObjectNode given))
            throw new DataException(file, line,
                    "not a JSON object; each line must be one, such as {\"text\": \"...\"}");
        ObjectNode o = present(given);
        JsonNode messages = o.get("messages");
        JsonNode conversations = o.get("conversations");
        boolean chat = messages != null || conversations != null;
        if (!chat && o.has("chosen") && o.has("rejected"))
            throw new DataException(file, line, "preference data (chosen and rejected) is not supported; fine-tuning"
                    + " needs prompt and completion, or messages");
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
                    + " one" + found(o));
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
        ObjectNode out = JSON.createObjectNode();
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

    private static String found(ObjectNode o) {
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

    /// The first `most` examples of a file that ask for an answer.
    public static List<Example> tasks(Path file, Format format, int most) {
        List<Example> out = new ArrayList<>();
        if (most > 0)
            read(file, format, (e, _) -> {
                if (e.isTask() && out.size() < most)
                    out.add(e);
            });
        return out;
    }
}
