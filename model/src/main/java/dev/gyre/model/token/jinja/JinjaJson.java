package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSignature.Bound;
import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Markup;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// JSON as transformers' `tojson` writes it: Python's `json.dumps`, characters beyond ASCII as they are.
final class JinjaJson {
    private final JinjaValues values;
    private final StringBuilder out = new StringBuilder();
    private final boolean ascii;
    private final @Nullable String indent;
    private final boolean sorted;
    private final String comma;
    private final String colon;

    /// @param b ensure_ascii, indent, separators, sort_keys
    private JinjaJson(JinjaValues values, Bound b) {
        this.values = values;
        this.ascii = JinjaValues.truth(b.get(0));
        this.indent = b.get(1) == null ? null : b.get(1) instanceof String s ? s
                : " ".repeat(values.budget.characters(Math.max(0, b.whole(1))));
        this.sorted = JinjaValues.truth(b.get(3));
        if (b.get(2) == null) {
            comma = indent == null ? ", " : ",";
            colon = ": ";
        } else {
            List<@Nullable Object> two = values.list(b.get(2));
            if (two.size() != 2 || !(two.get(0) instanceof String first) || !(two.get(1) instanceof String second))
                throw new Problem(b.what() + " needs two texts as 'separators'");
            comma = first;
            colon = second;
        }
    }

    static String write(JinjaValues values, @Nullable Object v, Bound b) {
        var json = new JinjaJson(values, b);
        json.value(v, 0);
        return json.out.toString();
    }

    private void append(String s) {
        out.append(s, 0, values.budget.characters(s.length()));
    }

    private void line(int depth) {
        if (indent == null)
            return;
        out.append('\n');
        for (int i = 0; i < depth; i++)
            append(indent);
    }

    private void value(@Nullable Object v, int depth) {
        values.budget.enter();
        values.budget.step();
        switch (v) {
            case null -> append("null");
            case Boolean b -> append(b ? "true" : "false");
            case Long n -> append(n.toString());
            case Double d -> append(number(d));
            case String s -> quoted(s);
            case Markup m -> quoted(m.text());
            case List<?> l -> list(l, depth);
            case Tuple t -> list(t.items(), depth);
            case Dict d -> mapping(d, depth);
            default -> throw new Problem("the filter 'tojson' cannot write " + JinjaValues.kind(v));
        }
        values.budget.leave();
    }

    private static String number(double d) {
        return Double.isNaN(d) ? "NaN" : Double.isInfinite(d) ? d > 0 ? "Infinity" : "-Infinity"
                : PythonFormat.repr(d);
    }

    private void list(List<?> l, int depth) {
        if (l.isEmpty()) {
            append("[]");
            return;
        }
        String before = "[";
        for (Object item : l) {
            append(before);
            line(depth + 1);
            value(item, depth + 1);
            before = comma;
        }
        line(depth);
        append("]");
    }

    private void mapping(Dict d, int depth) {
        if (d.size() == 0) {
            append("{}");
            return;
        }
        List<Dict.Entry> entries = d.list();
        if (sorted) {
            List<@Nullable Object> all = new ArrayList<>(entries);
            List<@Nullable Object> keys = new ArrayList<>();
            entries.forEach(e -> keys.add(e.key()));
            values.sort(all, keys, false);
            entries = new ArrayList<>();
            for (Object e : all)
                if (e instanceof Dict.Entry entry)
                    entries.add(entry);
        }
        String before = "{";
        for (Dict.Entry e : entries) {
            append(before);
            line(depth + 1);
            quoted(key(e.key()));
            append(colon);
            value(e.value(), depth + 1);
            before = comma;
        }
        line(depth);
        append("}");
    }

    private static String key(@Nullable Object k) {
        return switch (k) {
            case null -> "null";
            case String s -> s;
            case Markup m -> m.text();
            case Boolean b -> b ? "true" : "false";
            case Long n -> n.toString();
            case Double d -> number(d);
            default -> throw new Problem("the filter 'tojson' cannot write " + JinjaValues.kind(k) + " as a key");
        };
    }

    private void quoted(String s) {
        values.budget.characters(s.length());
        out.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\f' -> out.append("\\f");
                case '\b' -> out.append("\\b");
                default -> {
                    if (c < ' ' || ascii && c > '~')
                        out.append("\\u%04x".formatted((int) c));
                    else
                        out.append(c);
                }
            }
        }
        out.append('"');
    }
}
