package dev.gyre.trainer.task;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.data.DataException;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// Reads examples with labels: JSONL and CSV with named columns, folders of images by class, and the IDX files of MNIST's
/// kind with the labels beside them.
final class TaskReader {
    private static final List<String> IMAGES = List.of(".png", ".jpg", ".jpeg", ".bmp", ".gif");

    private TaskReader() {
    }

    static List<TaskExample> read(Path from, TaskRunConfig.Task task, TaskRunConfig.Data data) {
        try {
            List<TaskExample> all = Files.isDirectory(from) ? folders(from) : file(from, task, data);
            if (all.isEmpty())
                throw new DataException(from, "has no examples");
            return all;
        } catch (IOException e) {
            throw FormatException.unreadable(from, e);
        }
    }

    private static List<TaskExample> file(Path from, TaskRunConfig.Task task, TaskRunConfig.Data data)
            throws IOException {
        String name = String.valueOf(from.getFileName()).toLowerCase(Locale.ROOT);
        if (name.contains("idx3-ubyte"))
            return idx(from);
        List<TaskExample> out = new ArrayList<>();
        int line = 0;
        if (name.endsWith(".csv") || name.endsWith(".tsv")) {
            List<List<String>> rows = csv(Files.readString(from), name.endsWith(".tsv") ? '\t' : ',');
            for (List<String> row : rows.subList(Math.min(1, rows.size()), rows.size())) {
                Map<String, String> values = new LinkedHashMap<>();
                for (int i = 0; i < Math.min(row.size(), rows.getFirst().size()); i++)
                    values.put(rows.getFirst().get(i), row.get(i));
                ObjectNode o = JsonNodeFactory.instance.objectNode();
                values.forEach(o::put);
                out.add(example(from, ++line + 1, o, task, data));
            }
            return out;
        }
        for (String text : Files.readAllLines(from)) {
            line++;
            if (text.isBlank())
                continue;
            try {
                if (!(Json.MAPPER.readTree(text) instanceof ObjectNode o))
                    throw new DataException(from, line, "is not a JSON object");
                out.add(example(from, line, o, task, data));
            } catch (JacksonException e) {
                throw new DataException(from, line, "is not JSON: " + e.getOriginalMessage());
            }
        }
        return out;
    }

    private static TaskExample example(Path from, int line, ObjectNode o, TaskRunConfig.Task task,
            TaskRunConfig.Data data) {
        List<String> texts = new ArrayList<>();
        JsonNode text = value(from, line, o, data.text());
        if (text.isArray())
            text.forEach(word -> texts.add(word.asString()));
        else
            texts.add(text.asString());
        boolean words = task.kind() == TaskRunConfig.Kind.TOKENS;
        if (words && !text.isArray())
            texts.addAll(List.of(texts.removeFirst().strip().split("\\s+")));
        if (data.pair() != null)
            texts.add(value(from, line, o, data.pair()).asString());
        if (task.kind() == TaskRunConfig.Kind.PAIRS) {
            if (texts.size() != 2)
                throw new DataException(from, line, "pairs need two texts; name the second in data.pair");
            return TaskExample.text(texts, List.of(), Float.NaN);
        }
        JsonNode label = value(from, line, o, data.label());
        List<String> labels = new ArrayList<>();
        float number = Float.NaN;
        switch (task.kind()) {
            case NUMBER, SIMILARITY -> {
                try {
                    number = Float.parseFloat(label.asString());
                } catch (NumberFormatException e) {
                    throw new DataException(from, line, "" + data.label() + " is " + label
                            + ", expected a number");
                }
                if (!Float.isFinite(number))
                    throw new DataException(from, line, "" + data.label() + " is " + label);
            }
            case LABELS -> {
                if (label.isArray())
                    label.forEach(l -> labels.add(l.asString()));
                else
                    for (String l : label.asString().split("[|,;]"))
                        if (!l.isBlank())
                            labels.add(l.strip());
            }
            case TOKENS -> {
                if (label.isArray())
                    label.forEach(l -> labels.add(l.asString()));
                else
                    labels.addAll(List.of(label.asString().strip().split("\\s+")));
                if (labels.size() != texts.size())
                    throw new DataException(from, line, "" + texts.size() + " words have " + labels.size()
                            + " labels");
            }
            case CLASS, PAIRS -> labels.add(label.asString());
        }
        if (task.kind() == TaskRunConfig.Kind.SIMILARITY && texts.size() != 2)
            throw new DataException(from, line, "similarity needs two texts; name the second in data.pair");
        return TaskExample.text(texts, labels, number);
    }

    private static JsonNode value(Path from, int line, ObjectNode o, String key) {
        JsonNode n = o.get(key);
        if (n == null || n.isNull() || n.isObject())
            throw new DataException(from, line, "has no '" + key + "'; it has "
                    + String.join(", ", o.propertyNames()) + " (data.text, data.pair and data.label name the columns)");
        return n;
    }

    /// Records of a CSV file, quotes and line ends in quotes included.
    static List<List<String>> csv(String text, char separator) {
        List<List<String>> rows = new ArrayList<>();
        List<String> row = new ArrayList<>();
        StringBuilder cell = new StringBuilder();
        boolean quoted = false;
        boolean any = false;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (quoted) {
                if (c != '"')
                    cell.append(c);
                else
                    if (i + 1 < text.length() && text.charAt(i + 1) == '"') {
                        cell.append('"');
                        i++;
                    } else
                        quoted = false;
            } else
                if (c == '"' && cell.isEmpty())
                    quoted = true;
                else
                    if (c == separator || c == '\n' || c == '\r') {
                        any |= c == separator || !cell.isEmpty();
                        if (c == '\r' && i + 1 < text.length() && text.charAt(i + 1) == '\n')
                            continue;
                        if (c == separator || any) {
                            row.add(cell.toString());
                            cell.setLength(0);
                        }
                        if (c != separator && any) {
                            rows.add(row);
                            row = new ArrayList<>();
                            any = false;
                        }
                    } else
                        cell.append(c);
        }
        if (any || !cell.isEmpty()) {
            row.add(cell.toString());
            rows.add(row);
        }
        return rows;
    }

    private static List<TaskExample> folders(Path root) throws IOException {
        List<TaskExample> out = new ArrayList<>();
        try (Stream<Path> classes = Files.list(root)) {
            for (Path c : classes.filter(Files::isDirectory).sorted().toList())
                try (Stream<Path> files = Files.list(c)) {
                    files.filter(f -> isImage(f)).sorted().forEach(f -> out.add(new TaskExample(List.of(),
                            List.of(String.valueOf(c.getFileName())), Float.NaN, f, null)));
                }
        }
        if (out.isEmpty())
            throw new DataException(root, "has no folders with images (" + String.join(", ", IMAGES)
                    + "); a folder of images has one folder for each class");
        return out;
    }

    static boolean isImage(Path f) {
        String name = String.valueOf(f.getFileName()).toLowerCase(Locale.ROOT);
        return IMAGES.stream().anyMatch(name::endsWith);
    }

    /// Images in the IDX format; the labels are in the file of the same name with `labels` and `idx1` in it.
    private static List<TaskExample> idx(Path from) throws IOException {
        Path beside = from.resolveSibling(String.valueOf(from.getFileName()).replace("images", "labels")
                .replace("idx3", "idx1"));
        byte[] labels = Files.exists(beside) ? bytes(beside) : null;
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes(from)))) {
            if (in.readInt() != 0x803)
                throw new DataException(from, "is no IDX file of images (bytes in three dimensions)");
            int n = in.readInt();
            int h = in.readInt();
            int w = in.readInt();
            if (labels != null && labels.length != n + 8)
                throw new DataException(beside, "has labels for " + (labels.length - 8) + " images, " + from
                        + " has " + n);
            List<TaskExample> out = new ArrayList<>();
            for (int i = 0; i < n; i++) {
                byte[] pixels = new byte[h * w];
                in.readFully(pixels);
                out.add(new TaskExample(List.of(), labels == null ? List.of() : List.of("" + labels[8 + i]), Float.NaN,
                        null, new TaskExample.Grey(h, w, pixels)));
            }
            return out;
        }
    }

    private static byte[] bytes(Path file) throws IOException {
        byte[] raw = Files.readAllBytes(file);
        if (raw.length < 2 || (raw[0] & 0xff) != 0x1f || (raw[1] & 0xff) != 0x8b)
            return raw;
        try (var in = new GZIPInputStream(new ByteArrayInputStream(raw))) {
            return in.readAllBytes();
        }
    }

    /// Names of classes or labels in the examples, sorted; numbers by their value.
    static List<String> names(List<TaskExample> all) {
        List<String> names = new ArrayList<>(
                new LinkedHashSet<>(all.stream().flatMap(e -> e.labels().stream()).toList()));
        boolean numbers = names.stream().allMatch(n -> n.matches("\\d{1,9}"));
        names.sort(numbers ? Comparator.comparingInt(Integer::parseInt)
                : Comparator.naturalOrder());
        return names;
    }

    /// The place of a name.
    static int index(List<String> names, String label, @Nullable Path file) {
        int i = names.indexOf(label);
        if (i < 0)
            throw new InputException((file == null ? "" : file + ": ") + "label '" + label + "' is none of "
                    + String.join(", ", names.subList(0, Math.min(10, names.size())))
                    + (names.size() > 10 ? ", ..." : "") + " (task.labels)");
        return i;
    }
}
