package dev.gyre.trainer.task;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.data.Content;
import dev.gyre.trainer.data.CsvTable;
import dev.gyre.trainer.data.DataException;
import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
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

    /// What a run trains on and what it validates on.
    ///
    /// @param all of `data.train`, also those that are held out
    /// @param valid null without validation
    record Sets(List<TaskExample> all, List<TaskExample> train, @Nullable List<TaskExample> valid) {
    }

    /// @param seed of what is held out
    static Sets sets(TaskRunConfig.Task task, TaskRunConfig.Data data, long seed) {
        Path from = Path.of(data.train());
        List<TaskExample> all = read(from, task, data);
        Path file = data.validFile();
        DataFiles.Split split = data.valid() == null ? null : data.valid().split();
        if (split == null)
            return new Sets(all, all, file == null ? null : read(file, task, data));
        long wanted = split.count() > 0 ? split.count() : Math.max(1, Math.round(split.share() * all.size()));
        if (wanted >= all.size())
            throw new DataException(from, "data.valid takes " + wanted + " of its " + all.size()
                    + " examples, and none would be left to train on; hold out fewer");
        long[] ranks = all.stream().mapToLong(e -> rank(e, seed)).toArray();
        long[] sorted = ranks.clone();
        Arrays.sort(sorted);
        // equal ones are on the same side
        long last = sorted[(int) wanted - 1];
        List<TaskExample> train = new ArrayList<>();
        List<TaskExample> valid = new ArrayList<>();
        for (int i = 0; i < ranks.length; i++)
            (ranks[i] <= last ? valid : train).add(all.get(i));
        if (train.isEmpty())
            throw new DataException(from, "has examples too much alike to hold some out: equal ones stay together;"
                    + " name a file for data.valid");
        return new Sets(all, train, valid);
    }

    /// Depends on nothing but what the example shows, not on its label or place.
    private static long rank(TaskExample e, long seed) {
        long h = seed + 1;
        for (String t : e.texts())
            h = Content.with(h, t);
        if (e.image() != null)
            h = Content.with(h, String.valueOf(e.image().getFileName()));
        if (e.pixels() != null)
            for (byte b : e.pixels().values())
                h = Content.with(h, b);
        return Content.mixed(h);
    }

    private static List<TaskExample> file(Path from, TaskRunConfig.Task task, TaskRunConfig.Data data)
            throws IOException {
        String name = String.valueOf(from.getFileName()).toLowerCase(Locale.ROOT);
        if (name.contains("idx3-ubyte"))
            return idx(from);
        List<TaskExample> out = new ArrayList<>();
        rows(from, (o, absent, line) -> {
            if (task.kind() == TaskRunConfig.Kind.LABELS && absent.contains(data.label()))
                o.put(data.label(), ""); // a row with none of the labels
            out.add(example(from, line, o, task, data));
            return true;
        });
        return out;
    }

    /// Gets the rows of a file.
    private interface Seen {
        /// @param absent columns that have nothing in this row
        /// @return whether to go on
        boolean row(ObjectNode o, List<String> absent, int line);
    }

    /// The first rows of a file of texts.
    static List<ObjectNode> head(Path from, int most) {
        List<ObjectNode> out = new ArrayList<>();
        try {
            rows(from, (o, _, _) -> {
                out.add(o);
                return out.size() < most;
            });
        } catch (IOException e) {
            throw FormatException.unreadable(from, e);
        }
        return out;
    }

    private static void rows(Path from, Seen seen) throws IOException {
        String name = String.valueOf(from.getFileName()).toLowerCase(Locale.ROOT);
        if (name.endsWith(".csv") || name.endsWith(".tsv")) {
            try (CsvTable table = new CsvTable(from, new BufferedInputStream(Files.newInputStream(from)))) {
                List<String> columns = table.columns();
                for (CsvTable.Record r = table.next(); r != null; r = table.next()) {
                    ObjectNode o = JsonNodeFactory.instance.objectNode();
                    List<String> absent = new ArrayList<>();
                    for (int i = 0; i < columns.size(); i++) {
                        String cell = r.cells().get(i);
                        if (cell != null)
                            o.put(columns.get(i), cell);
                        else
                            absent.add(columns.get(i));
                    }
                    if (!seen.row(o, absent, r.line()))
                        return;
                }
            }
            return;
        }
        int line = 0;
        for (String text : Files.readAllLines(from)) {
            line++;
            if (text.isBlank())
                continue;
            try {
                if (!(Json.MAPPER.readTree(text) instanceof ObjectNode o))
                    throw new DataException(from, line, "is not a JSON object");
                if (!seen.row(o, List.of(), line))
                    return;
            } catch (JacksonException e) {
                throw new DataException(from, line, "is not JSON: " + e.getOriginalMessage());
            }
        }
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

    /// Whether the examples are images: a folder of them, or an IDX file.
    static boolean images(Path from) {
        return Files.isDirectory(from) || String.valueOf(from.getFileName()).toLowerCase(Locale.ROOT)
                .contains("idx3-ubyte");
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
