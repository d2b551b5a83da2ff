package dev.gyre.trainer.data;

import dev.gyre.model.files.Json;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// Reads preference data as TRL has it, lines of JSON: `prompt`, `chosen` and `rejected` as texts or as lists of messages; or
/// `chosen` and `rejected` as whole conversations, which begin alike and differ in what the assistant says last.
public final class PreferenceReader {
    private PreferenceReader() {
    }

    /// A prompt with one of its answers.
    ///
    /// @param target the tokens of the answer
    public record Answer(int[] tokens, BitSet target) {
    }

    /// @param line of the file
    public record Pair(Answer chosen, Answer rejected, int line) {
        /// Tokens of the longer row.
        public int length() {
            return Math.max(chosen.tokens.length, rejected.tokens.length);
        }
    }

    /// All pairs of a file, in order.
    public static List<Pair> read(Path file, ModelText text) {
        List<Pair> out = new ArrayList<>();
        int[] line = {0};
        try (Stream<String> lines = Files.lines(file)) {
            lines.forEach(l -> {
                line[0]++;
                if (!l.isBlank())
                    out.add(pair(file, line[0], l, text));
            });
        } catch (UncheckedIOException e) {
            throw e.getCause() instanceof MalformedInputException
                    ? new DataException(file, line[0] + 1, "not UTF-8 text; convert the file to UTF-8") : failed(file);
        } catch (IOException e) {
            throw failed(file);
        }
        if (out.isEmpty())
            throw new DataException(file, "has no pairs of answers");
        return out;
    }

    private static DataException failed(Path file) {
        return new DataException(file, Files.isDirectory(file) ? "is a directory; name a file of pairs (.jsonl)"
                : "cannot be read; name a file of pairs (.jsonl)");
    }

    private static Pair pair(Path file, int line, String text, ModelText model) {
        JsonNode node;
        try {
            node = Json.MAPPER.readTree(text);
        } catch (JacksonException e) {
            throw new DataException(file, line, "is not JSON: " + Json.reason(e));
        }
        if (!(node instanceof ObjectNode o))
            throw new DataException(file, line, "is not a JSON object");
        Answer chosen = answer(file, line, o, "chosen", "rejected", model);
        Answer rejected = answer(file, line, o, "rejected", "chosen", model);
        return new Pair(chosen, rejected, line);
    }

    private static Answer answer(Path file, int line, ObjectNode row, String key, String other, ModelText model) {
        JsonNode said = row.path(key);
        JsonNode prompt = row.path("prompt");
        boolean texts = said.isString() && row.path(other).isString() && prompt.isString();
        boolean parts = said.isArray() && row.path(other).isArray() && prompt.isArray();
        boolean whole = said.isArray() && row.path(other).isArray() && (prompt.isMissingNode() || prompt.isNull()
                || prompt.isString());
        if (!texts && !parts && !whole)
            throw new DataException(file, line, "needs prompt, " + (key.equals("chosen") ? "chosen and rejected"
                    : "rejected and chosen") + ", all three as texts or as lists of messages; or chosen and rejected as"
                    + " lists of messages" + ExampleReader.found(row));
        ObjectNode o = row.deepCopy();
        o.remove(List.of("chosen", "rejected", "prompt"));
        if (texts || parts) {
            o.set("prompt", prompt);
            o.set("completion", said);
        } else {
            o.set("messages", last(said, row.path(other)));
        }
        ModelText.Masked m = model.masked(ExampleReader.example(file, line, o, RowKeys.NONE), false);
        if (m.target().isEmpty())
            throw new DataException(file, line, "'" + key + "' has no answer whose tokens could be told apart");
        return new Answer(m.tokens(), m.target());
    }

    /// A conversation of which only what differs from the other one is an answer.
    private static ArrayNode last(JsonNode said, JsonNode other) {
        ArrayNode out = Json.MAPPER.createArrayNode();
        boolean same = true;
        for (int i = 0; i < said.size(); i++) {
            same &= i < other.size() && said.get(i).equals(other.get(i));
            JsonNode message = said.get(i).deepCopy();
            if (same && message instanceof ObjectNode m)
                m.put("weight", 0);
            out.add(message);
        }
        return out;
    }
}
