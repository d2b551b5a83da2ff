package dev.gyre.model.files;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.TokenStreamLocation;
import tools.jackson.core.json.JsonReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// JSON files, strictly: no duplicate keys, nothing after the value, errors with file, line and column.
public final class Json {
    public static final JsonMapper MAPPER = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    /// Far above any configuration or tokenizer file; a larger one is the wrong file.
    private static final long LIMIT = 512L << 20;

    private Json() {
    }

    /// As [#MAPPER], with NaN and the infinities as Python writes them.
    private static final JsonMapper NON_FINITE =
            MAPPER.rebuild().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();

    /// The JSON object in `file`.
    public static ObjectNode readObject(Path file) {
        return readObject(file, MAPPER);
    }

    /// The JSON object in `file`, which may hold NaN and infinities.
    public static ObjectNode readMeasurements(Path file) {
        return readObject(file, NON_FINITE);
    }

    private static ObjectNode readObject(Path file, JsonMapper mapper) {
        byte[] bytes;
        Inputs.requireFile(file);
        try {
            if (Files.size(file) > LIMIT)
                throw new FormatException(file, "larger than " + (LIMIT >> 20) + " MiB, not a JSON file we know");
            bytes = Files.readAllBytes(file);
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        return parseObject(file, "", mapper, bytes, 0, bytes.length);
    }

    /// Parses an object inside `file` at `place` ("" or words that end in ": ").
    public static ObjectNode parseObject(Path file, String place, byte[] bytes, int from, int length) {
        return parseObject(file, place, MAPPER, bytes, from, length);
    }

    private static ObjectNode parseObject(Path file, String place, JsonMapper mapper, byte[] bytes, int from,
            int length) {
        JsonNode node;
        try {
            node = mapper.readTree(bytes, from, length);
        } catch (JacksonException e) {
            throw new FormatException(file, place + "not valid JSON" + at(e) + ": " + reason(e), e);
        }
        if (!(node instanceof ObjectNode object))
            throw new FormatException(file, place + "not a JSON object");
        return object;
    }

    /// What is wrong, in one line, without the parser's own words for where.
    public static String reason(JacksonException e) {
        return e.getOriginalMessage().replaceAll("\\s+", " ").replaceAll(", from `StreamReadConstraints[^`]*`", "")
                .replaceAll(" \\([^(]*\\[Source: .*", "")
                .replaceAll(
                        "[:;,]? ?\\(?(enable|set|use|override)[^()]*(JsonReadFeature|StreamRead|JsonFactory)[^()]*\\)?(\\(\\))?(`\\))?( to allow)?",
                        "");
    }

    static String at(JacksonException e) {
        TokenStreamLocation l = e.getLocation();
        return l == null || l.getLineNr() < 1 ? "" : " at line " + l.getLineNr() + " column " + l.getColumnNr();
    }

    /// Two-space indent, `"key": value`, keys in the node's order, a line break at the end: Python's layout. What is not
    /// finite, for which JSON has no word, becomes null.
    /// An object in a text.
    ///
    /// @param from named in messages
    public static ObjectNode parseObject(Path from, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return parseObject(from, "text", bytes, 0, bytes.length);
    }

    public static String pretty(JsonNode node) {
        var text = new StringBuilder();
        write(text, node, "");
        return text.append('\n').toString();
    }

    private static void write(StringBuilder out, JsonNode node, String indent) {
        String inner = indent + "  ";
        if (node.isObject() && !node.isEmpty()) {
            String separator = "{\n";
            for (var e : node.properties()) {
                out.append(separator).append(inner).append(quoted(e.getKey())).append(": ");
                write(out, e.getValue(), inner);
                separator = ",\n";
            }
            out.append('\n').append(indent).append('}');
        } else if (node.isArray() && !node.isEmpty()) {
            String separator = "[\n";
            for (JsonNode e : node) {
                out.append(separator).append(inner);
                write(out, e, inner);
                separator = ",\n";
            }
            out.append('\n').append(indent).append(']');
        } else {
            out.append(scalar(node));
        }
    }

    private static String scalar(JsonNode node) {
        if (!node.isDouble() && !node.isFloat())
            return MAPPER.writeValueAsString(node);
        return Double.isFinite(node.doubleValue()) ? number(node.doubleValue()) : "null";
    }

    private static String quoted(String s) {
        return MAPPER.writeValueAsString(s);
    }

    /// Python's `repr` of a float: shortest digits, exponent as `e-05`, plain digits from 1e-4 to 1e16.
    static String number(double x) {
        String s = Double.toString(x);
        int e = s.indexOf('E');
        if (e < 0)
            return s;
        double size = Math.abs(x);
        if (size >= 1e-4 && size < 1e16) {
            String plain = new java.math.BigDecimal(s).toPlainString();
            return plain.contains(".") ? plain : plain + ".0";
        }
        String digits = s.substring(0, e);
        if (digits.endsWith(".0"))
            digits = digits.substring(0, digits.length() - 2);
        int exponent = Integer.parseInt(s.substring(e + 1));
        String two = (Math.abs(exponent) < 10 ? "0" : "") + Math.abs(exponent);
        return digits + "e" + (exponent < 0 ? "-" : "+") + two;
    }
}
