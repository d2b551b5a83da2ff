package dev.gyre.trainer.data;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// The examples of a [CsvTable].
final class CsvRows implements Rows {
    private final Path file;
    private final RowKeys keys;
    private final CsvTable table;

    CsvRows(Path file, InputStream in, RowKeys keys) throws IOException {
        this.file = file;
        this.keys = keys;
        this.table = new CsvTable(file, in);
    }

    @Override
    public @Nullable Row next() throws IOException {
        CsvTable.Record r = table.next();
        if (r == null)
            return null;
        List<String> columns = table.columns();
        ObjectNode o = JsonRows.LINE.createObjectNode();
        for (int i = 0; i < columns.size(); i++) {
            String cell = r.cells().get(i);
            if (cell == null || columns.get(i).isEmpty())
                continue;
            JsonNode list = keys.isList(columns.get(i)) ? list(cell) : null;
            if (list == null)
                o.put(columns.get(i), cell);
            else
                o.set(columns.get(i), list);
        }
        return new Row(ExampleReader.example(file, r.line(), o, keys), r.line());
    }

    /// A cell of conversations holds its list as JSON.
    private static @Nullable JsonNode list(String cell) {
        try {
            JsonNode v = JsonRows.LINE.readTree(cell);
            return v.isContainer() ? v : null;
        } catch (JacksonException e) {
            return null;
        }
    }

    @Override
    public void close() throws IOException {
        table.close();
    }
}
