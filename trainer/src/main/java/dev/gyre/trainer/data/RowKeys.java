package dev.gyre.trainer.data;

import dev.gyre.trainer.config.RunConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// Names of columns: which of them are what Gyre calls otherwise.
///
/// @param names `{prompt: question}`: the column `question` is the prompt
record RowKeys(Map<String, String> names) {
    static final RowKeys NONE = new RowKeys(Map.of());

    private static final Set<String> LISTS =
            Set.of("messages", "conversations", "history", "tools");
    /// Names that make up an example together, kind by kind.
    private static final List<Set<String>> KINDS = List.of(Set.of("text"), Set.of("prompt", "completion"),
            Set.of("messages"), Set.of("conversations"), Set.of("instruction", "input", "output"));

    RowKeys {
        names = Map.copyOf(names);
    }

    private static final Set<String> OPTIONAL = Set.of("input", "system", "history", "tools");

    /// Whether a column belongs to a kind of example of which no column is named, while one of another kind is.
    private boolean isOfAnotherKind(String column) {
        return KINDS.stream().anyMatch(k -> k.contains(column) && names.keySet().stream().noneMatch(k::contains))
                && names.keySet().stream().anyMatch(n -> KINDS.stream().anyMatch(k -> k.contains(n)));
    }

    /// Whether a column of text may hold a list.
    boolean isList(String column) {
        if (names.containsValue(column))
            return names.entrySet().stream().anyMatch(e -> e.getValue().equals(column) && LISTS.contains(e.getKey()));
        return LISTS.contains(column);
    }

    /// A row under the names that Gyre knows. The columns that are named decide what kind of example it is; a row that has
    /// none of them is left as it is, so that files with Gyre's own names may stand beside.
    ObjectNode renamed(Path file, int line, ObjectNode row) {
        if (names.isEmpty() || names.values().stream().noneMatch(row::has))
            return row;
        ObjectNode out = JsonRows.LINE.createObjectNode();
        for (Map.Entry<String, JsonNode> e : row.properties())
            if (!names.containsKey(e.getKey()) && !names.containsValue(e.getKey()) && !isOfAnotherKind(e.getKey()))
                out.set(e.getKey(), e.getValue());
        List<String> missing = new ArrayList<>();
        for (String key : RunConfig.Data.KEYS) {
            String column = names.get(key);
            if (column == null)
                continue;
            JsonNode v = row.get(column);
            if (v != null)
                out.set(key, v);
            else
                if (!OPTIONAL.contains(key))
                    missing.add("'" + column + "' (data.keys: " + key + ")");
        }
        if (!missing.isEmpty())
            throw new DataException(file, line, String.join(" and ", missing) + " is missing"
                    + ExampleReader.found(row));
        return out;
    }
}
