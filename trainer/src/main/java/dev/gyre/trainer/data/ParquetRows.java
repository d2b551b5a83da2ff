package dev.gyre.trainer.data;

import dev.hardwood.InputFile;
import dev.hardwood.reader.ParquetFileReader;
import dev.hardwood.reader.RowReader;
import dev.hardwood.row.PqList;
import dev.hardwood.row.PqMap;
import dev.hardwood.row.PqStruct;
import dev.hardwood.row.StructAccessor;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// A Parquet file: each row as the object that a line of JSON would hold.
final class ParquetRows implements Rows {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final Path file;
    private final RowKeys keys;
    private final ParquetFileReader reader;
    private final RowReader rows;
    private int row;

    ParquetRows(Path file, RowKeys keys) throws IOException {
        this.file = file;
        this.keys = keys;
        ParquetFileReader opened = null;
        try {
            opened = ParquetFileReader.open(InputFile.of(file));
            rows = opened.rowReader();
        } catch (RuntimeException | IOException | LinkageError e) {
            if (opened != null)
                opened.close();
            if (e instanceof IOException io && io.getClass() != IOException.class)
                throw io; // such as one that is not there
            throw damaged(e);
        }
        reader = opened;
    }

    @Override
    public @Nullable Row next() {
        ObjectNode o;
        try {
            if (!rows.hasNext())
                return null;
            rows.next();
            row++;
            o = object(rows);
        } catch (RuntimeException | LinkageError e) {
            throw damaged(e);
        }
        return new Row(ExampleReader.example(file, row, o, keys), row);
    }

    private DataException damaged(Throwable e) {
        Throwable cause = e;
        while (cause.getCause() != null)
            cause = cause.getCause();
        String why = String.valueOf(cause.getMessage()).lines().findFirst().orElse("");
        return new DataException(file, "cannot be read as Parquet"
                + (row == 0 ? "" : " behind row " + row) + ": " + why
                + (cause instanceof LinkageError || why.contains("libs") || why.contains("codec")
                        || why.contains("ompress")
                                ? "; write it with compression 'snappy' or 'gzip', or without any"
                                : "; is the file complete?"));
    }

    private static ObjectNode object(StructAccessor s) {
        ObjectNode o = NODES.objectNode();
        for (int i = 0; i < s.getFieldCount(); i++)
            o.set(s.getFieldName(i), s.isNull(i) ? NODES.nullNode() : node(s.getValue(i)));
        return o;
    }

    private static JsonNode node(@Nullable Object v) {
        return switch (v) {
            case null -> NODES.nullNode();
            case String s -> NODES.stringNode(s);
            case Boolean b -> NODES.booleanNode(b);
            case Integer i -> NODES.numberNode(i);
            case Long l -> NODES.numberNode(l);
            case Float f -> NODES.numberNode(f);
            case Double d -> NODES.numberNode(d);
            case BigDecimal d -> NODES.numberNode(d);
            // a writer that does not say that its bytes are text
            case byte[] b -> NODES.stringNode(new String(b, StandardCharsets.UTF_8));
            case PqStruct s -> object(s);
            case PqList l -> {
                ArrayNode a = NODES.arrayNode();
                for (int i = 0; i < l.size(); i++)
                    a.add(l.isNull(i) ? NODES.nullNode() : node(l.get(i)));
                yield a;
            }
            case PqMap m -> {
                ObjectNode o = NODES.objectNode();
                for (PqMap.Entry e : m.getEntries())
                    o.set(String.valueOf(e.getKey()), node(e.getValue()));
                yield o;
            }
            default -> NODES.stringNode(v.toString());
        };
    }

    @Override
    public void close() throws IOException {
        try (reader) {
            rows.close();
        }
    }
}
