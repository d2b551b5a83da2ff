package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.Jinja.Undefined;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/// JSON as transformers' `tojson` writes it: Python's separators, characters beyond ASCII as they are.
final class JinjaJson {
    private static final JsonMapper QUOTE = JsonMapper.builder().build();

    private JinjaJson() {
    }

    /// @param indent spaces per level, negative for one line
    static String write(@Nullable Object v, int indent) {
        var text = new StringBuilder();
        write(text, v, indent, "\n");
        return text.toString();
    }

    private static void write(StringBuilder out, @Nullable Object v, int indent, String newline) {
        String inner = indent < 0 ? "" : newline + " ".repeat(indent);
        String comma = indent < 0 ? ", " : ",";
        switch (v) {
            case null -> out.append("null");
            case Undefined _ -> out.append("\"\"");
            case Map<?, ?> m when !m.isEmpty() -> {
                String before = "{";
                for (Map.Entry<?, ?> e : m.entrySet()) {
                    out.append(before).append(inner).append(QUOTE.writeValueAsString(JinjaValues.text(e.getKey())))
                            .append(": ");
                    write(out, e.getValue(), indent, inner);
                    before = comma;
                }
                out.append(indent < 0 ? "" : newline).append('}');
            }
            case List<?> l when !l.isEmpty() -> {
                String before = "[";
                for (Object e : l) {
                    out.append(before).append(inner);
                    write(out, e, indent, inner);
                    before = comma;
                }
                out.append(indent < 0 ? "" : newline).append(']');
            }
            case Map<?, ?> _ -> out.append("{}");
            case List<?> _ -> out.append("[]");
            case Boolean b -> out.append(b);
            case Long n -> out.append(n);
            case Double d -> out.append(d);
            default -> out.append(QUOTE.writeValueAsString(JinjaValues.text(v)));
        }
    }
}
