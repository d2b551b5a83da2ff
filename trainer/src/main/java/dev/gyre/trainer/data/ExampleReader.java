package dev.gyre.trainer.data;

import dev.gyre.model.files.Inputs;
import dev.gyre.model.files.Json;
import dev.gyre.model.token.ChatTemplate;
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
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// Reads example files line by line: JSONL with `text`, with `prompt` and `completion`, with `messages`, or as data sets for
/// other trainers have it, `instruction`, `input` and `output` (Alpaca) or `conversations` (ShareGPT); other keys are
/// ignored, kinds may be mixed. Or plain text.
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
        if (!(node instanceof ObjectNode o))
            throw new DataException(file, line,
                    "not a JSON object; each line must be one, such as {\"text\": \"...\"}");
        boolean completion = o.has("prompt") || o.has("completion");
        // Alpaca files may carry the whole as `text` beside; the parts say what is to be trained on
        boolean instruction = o.has("instruction");
        boolean plain = o.has("text") && !instruction;
        JsonNode messages = o.get("messages");
        JsonNode conversations = o.get("conversations");
        int kinds = (plain ? 1 : 0) + (completion ? 1 : 0) + (instruction ? 1 : 0) + (messages == null ? 0 : 1)
                + (conversations == null ? 0 : 1);
        if (kinds != 1)
            throw new DataException(file, line, (kinds == 0 ? "has none" : "has more than one")
                    + " of: text; prompt and completion; messages; instruction and output; conversations. Give exactly"
                    + " one" + found(o));
        if (plain)
            return new Example.Text(string(file, line, o, "text"));
        if (completion)
            return new Example.Completion(string(file, line, o, "prompt"), string(file, line, o, "completion"));
        if (instruction)
            return alpaca(string(file, line, o, "instruction"), o.has("input") ? string(file, line, o, "input") : "",
                    string(file, line, o, "output"));
        refuse(file, line, o, "", "tools", "functions");
        return messages != null ? chat(file, line, messages, "messages", "role", "content")
                : chat(file, line, Objects.requireNonNull(conversations), "conversations", "from", "value");
    }

    /// In the words that such data sets are used with.
    private static Example alpaca(String instruction, String input, String output) {
        String rest = input.isBlank() ? "" : "\n\n### Input:\n" + input;
        return new Example.Completion("Below is an instruction that describes a task"
                + (input.isBlank() ? "" : ", paired with an input that provides further context")
                + ". Write a response that appropriately completes the request.\n\n### Instruction:\n" + instruction
                + rest
                + "\n\n### Response:\n", output);
    }

    private static String found(ObjectNode o) {
        List<String> keys = new ArrayList<>(o.propertyNames());
        return keys.isEmpty() ? ""
                : " (keys here: " + String.join(", ", keys.subList(0, Math.min(8, keys.size()))) + ")";
    }

    private static String string(Path file, int line, ObjectNode o, String key) {
        @Nullable JsonNode v = o.get(key);
        if (v == null)
            throw new DataException(file, line, "'" + key + "' is missing");
        if (!v.isString())
            throw new DataException(file, line, "'" + key + "' must be a string");
        return v.stringValue();
    }

    /// Templates write these as well; without them the model would learn to say less than the example does.
    private static void refuse(Path file, int line, ObjectNode o, String where, String... keys) {
        for (String key : keys) {
            JsonNode v = o.path(key);
            boolean empty = v.isString() ? List.of("", "[]").contains(v.stringValue()) : v.isEmpty();
            if (!empty)
                throw new DataException(file, line, "'" + key + "'" + where + " is not supported; write it as text, the"
                        + " way the model's chat template does, into the contents of messages");
        }
    }

    /// @param role key of who speaks
    /// @param content key of what is said
    private static Example chat(Path file, int line, JsonNode list, String key, String role, String content) {
        String wanted = "'" + key + "' must be a list of {\"" + role + "\": ..., \"" + content + "\": ...}";
        if (!list.isArray() || list.isEmpty())
            throw new DataException(file, line, wanted);
        List<ChatTemplate.Message> out = new ArrayList<>();
        for (JsonNode m : list) {
            if (!(m instanceof ObjectNode o))
                throw new DataException(file, line, wanted);
            refuse(file, line, o, " of a message", "tool_calls", "function_call", "reasoning_content");
            String who = string(file, line, o, role);
            // ShareGPT's names
            out.add(new ChatTemplate.Message(switch (who) {
                case "human" -> "user";
                case "gpt" -> "assistant";
                default -> who;
            }, string(file, line, o, content)));
        }
        return new Example.Chat(out);
    }

    /// The first `most` tasks of a file: examples with a prompt and a completion.
    public static List<Example.Completion> tasks(Path file, Format format, int most) {
        List<Example.Completion> out = new ArrayList<>();
        if (most > 0)
            read(file, format, (e, _) -> {
                if (e instanceof Example.Completion t && out.size() < most)
                    out.add(t);
            });
        return out;
    }
}
