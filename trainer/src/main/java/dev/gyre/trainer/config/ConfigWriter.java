package dev.gyre.trainer.config;

import java.lang.reflect.RecordComponent;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Configuration records to YAML that [ConfigReader] reads back to equal records.
public final class ConfigWriter {
    private ConfigWriter() {
    }

    /// The resolved configuration: every key with its value, without comments.
    public static String resolved(Record config) {
        StringBuilder out = new StringBuilder();
        section(out, config, "");
        return out.toString();
    }

    private static void section(StringBuilder out, Object record, String indent) {
        Class<?> type = record.getClass();
        OneOf.Case named = type.getAnnotation(OneOf.Case.class);
        if (named != null)
            out.append(indent).append(Schema.chooser(type)).append(": ").append(named.value()).append('\n');
        for (RecordComponent c : type.getRecordComponents()) {
            Object v = Schema.get(c, record);
            out.append(indent).append(Schema.key(c)).append(':');
            if (v != null && Schema.isSection(c.getType())) {
                out.append('\n');
                section(out, v, indent + "  ");
            } else
                out.append(' ').append(value(v)).append('\n');
        }
    }

    /// Every key with its value as text, `train.lr` -> `4.0e-4`: for comparing two configurations.
    public static Map<String, String> flat(Record config) {
        Map<String, String> out = new TreeMap<>();
        flatten(out, config, "");
        return out;
    }

    private static void flatten(Map<String, String> out, Object record, String path) {
        Class<?> type = record.getClass();
        OneOf.Case named = type.getAnnotation(OneOf.Case.class);
        if (named != null)
            out.put(path + Schema.chooser(type), named.value());
        for (RecordComponent c : type.getRecordComponents()) {
            Object v = Schema.get(c, record);
            if (v != null && Schema.isSection(c.getType()))
                flatten(out, v, path + Schema.key(c) + ".");
            else
                out.put(path + Schema.key(c), value(v));
        }
    }

    private static String value(@Nullable Object v) {
        return switch (v) {
            case null -> "null";
            case Names n when n.pattern() != null -> text(n.pattern());
            case Names n -> value(n.list());
            case List<?> l -> l.stream().map(ConfigWriter::value).collect(Collectors.joining(", ", "[", "]"));
            case Map<?, ?> m -> m.entrySet().stream().map(e -> value(e.getKey()) + ": " + value(e.getValue())).sorted()
                    .collect(Collectors.joining(", ", "{", "}"));
            case Enum<?> e -> Schema.word(e);
            case Double d -> number(d);
            case String s -> text(s);
            default -> String.valueOf(v);
        };
    }

    /// Shortest form that YAML reads as the same number: `0.9`, `4.0e-4`, `100`.
    static String number(double d) {
        if (d == Math.rint(d) && Math.abs(d) < 1e9)
            return String.valueOf((long) d);
        return String.valueOf(d).replace("E", "e");
    }

    private static String text(String s) {
        boolean safe = s.matches("[A-Za-z_./][A-Za-z0-9_./-]*") && !s.matches("(?i)null|true|false|yes|no|on|off|y|n");
        if (safe)
            return s;
        StringBuilder q = new StringBuilder("\"");
        for (char c : s.toCharArray())
            switch (c) {
            case '"' -> q.append("\\\"");
            case '\\' -> q.append("\\\\");
            case '\n' -> q.append("\\n");
            case '\t' -> q.append("\\t");
            default -> {
                if (c < ' ' || c > '~')
                    q.append(String.format("\\u%04x", (int) c));
                else
                    q.append(c);
            }
            }
        return q.append('"').toString();
    }
}
