package dev.gyre.trainer.config;

import dev.gyre.model.options.Key;
import dev.gyre.model.options.Names;
import dev.gyre.model.options.OneOf;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
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
        for (Schema.Entry c : Schema.entries(type)) {
            Object v = c.of(record);
            out.append(indent).append(c.key()).append(':');
            if (v != null && c.isSection()) {
                out.append('\n');
                section(out, v, indent + "  ");
            } else
                out.append(' ').append(value(v)).append('\n');
        }
    }

    /// Every key with its value, its documentation after it, and its default where the value is another. A key whose
    /// value follows from others when absent (LoRA's alpha from its rank) stays `null` unless it was given.
    ///
    /// @param given whether a key, by its path `train.lr`, was given
    public static String commented(Record config, List<String> head, Predicate<String> given) {
        StringBuilder out = new StringBuilder();
        head.forEach(h -> out.append(h.isEmpty() ? "#" : "# " + h).append('\n'));
        commented(out, config, "", "", given);
        return out.toString();
    }

    private static void commented(StringBuilder out, Object record, String indent, String path,
            Predicate<String> given) {
        Class<?> type = record.getClass();
        List<Line> lines = new ArrayList<>();
        OneOf.Case named = type.getAnnotation(OneOf.Case.class);
        if (named != null)
            lines.add(new Line(Schema.chooser(type) + ": " + named.value(), named.doc() + " (other methods: "
                    + Schema.siblings(type).stream().filter(w -> !w.equals(named.value()))
                            .collect(Collectors.joining(", "))
                    + ")"));
        for (Schema.Entry c : Schema.entries(type)) {
            Object v = c.of(record);
            Key key = c.annotation();
            if (v != null && c.isSection()) {
                write(out, lines, indent);
                if (indent.isEmpty())
                    out.append("\n# ").append(key.doc()).append('\n');
                out.append(indent).append(c.key()).append(":\n");
                commented(out, v, indent + "  ", path + c.key() + ".", given);
                continue;
            }
            if (indent.isEmpty() && lines.isEmpty())
                out.append('\n');
            String text = key.def().equals("null") && !given.test(path + c.key()) ? "null" : value(v);
            lines.add(new Line(c.key() + ": " + text, key.doc() + otherwise(key, text)));
        }
        write(out, lines, indent);
    }

    private record Line(String setting, String comment) {
    }

    /// Settings up to this many characters have their comment on the same line, in one column, longer ones above them.
    private static final int COLUMN = 28;

    private static void write(StringBuilder out, List<Line> lines, String indent) {
        int width = lines.stream().mapToInt(l -> l.setting.length()).filter(n -> n <= COLUMN).max().orElse(0);
        for (Line l : lines)
            if (l.setting.length() <= COLUMN)
                out.append(indent).append(l.setting).append(" ".repeat(width - l.setting.length() + 2)).append("# ")
                        .append(l.comment).append('\n');
            else
                out.append(indent).append("# ").append(l.comment).append('\n').append(indent).append(l.setting)
                        .append('\n');
        lines.clear();
    }

    private static String otherwise(Key key, String shown) {
        if (key.def().equals(Key.REQUIRED))
            return "; required";
        if (key.def().equals("null") || key.def().equals(shown) || same(key.def(), shown))
            return "";
        return "; default " + key.def();
    }

    private static boolean same(String a, String b) {
        try {
            return Double.parseDouble(a) == Double.parseDouble(b);
        } catch (NumberFormatException e) {
            return false;
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
        for (Schema.Entry c : Schema.entries(type)) {
            Object v = c.of(record);
            if (v != null && c.isSection())
                flatten(out, v, path + c.key() + ".");
            else
                out.put(path + c.key(), value(v));
        }
    }

    /// A value of a key, as it is written.
    public static String yaml(Object value) {
        return value(value);
    }

    private static String value(@Nullable Object v) {
        return switch (v) {
            case null -> "null";
            case Names n when n.pattern() != null -> text(n.pattern());
            case Names n -> value(n.list());
            case DataFiles f -> f.names().size() == 1 ? text(f.names().getFirst()) : value(f.names());
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
