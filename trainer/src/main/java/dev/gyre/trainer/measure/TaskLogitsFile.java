package dev.gyre.trainer.measure;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskModel;
import dev.gyre.model.task.TaskSession;
import dev.gyre.model.task.TaskShape;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.LearningSession.Use;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// Logits, loss and adapter gradients of a model with a head, as a safetensors file that another framework can be compared
/// with.
public final class TaskLogitsFile {
    private static final List<String> KEYS =
            List.of("input_ids", "attention_mask", "token_type_ids", "labels", "pixel_values");

    private TaskLogitsFile() {
    }

    /// @param shape of the logits
    /// @param loss mean over the labels that count; NaN where there are none
    public record Written(long[] shape, double loss, int labels) {
    }

    /// @param inputs a JSON file: `input_ids`, `attention_mask` and `token_type_ids`, lists of rows, or `pixel_values`, nested
    ///        lists of batch, channels, rows and columns; and `labels`
    ///        The gradient of the loss is written for each adapter tensor where both are given.
    /// @param required whether it is an error that there are no gradients
    /// @param warnings gets each remark on the model's files
    public static Written write(Path inputs, ModelRef ref, boolean required, Backend backend, Path out,
            Consumer<String> warnings) {
        AtomicFiles.requireNewFile(out);
        if (required && ref.adapters().isEmpty())
            throw new InputException("--gradients needs an adapter to take gradients of; give --adapter DIR");
        ObjectNode json = Json.readObject(inputs);
        for (Map.Entry<String, JsonNode> e : json.properties())
            if (!KEYS.contains(e.getKey()))
                throw new FormatException(inputs,
                        "unknown key '" + e.getKey() + "'; known are " + String.join(", ", KEYS));
        JsonNode labels = json.path("labels");
        // labels in rows are several labels, unless the model's files say what they are
        TaskModel model = TaskRef.load(ref, labels.isArray() && labels.path(0).isArray() ? Problem.LABELS : null,
                warnings);
        List<TaskBatch> rows = new Reader(inputs, json, model.config()).rows();
        Head head = model.config().head();
        boolean tokens = head.pooling() == Pooling.TOKENS;
        boolean labelled = !labels.isMissingNode() && !labels.isNull();
        if (labelled && head.problem() == Problem.EMBEDDING)
            throw new FormatException(inputs, "the model gives embeddings, which have no labels");
        int count = !labelled ? 0 : rows.stream().mapToInt(b -> head.problem() == Problem.CLASSES
                ? (int) Arrays.stream(b.labels()).filter(l -> l != Batch.IGNORE).count() : 1).sum();
        if (required && count == 0)
            throw new InputException(inputs + ": --gradients needs labels that count (not -100)");
        boolean gradients =
                required || count > 0 && model.adapters().stream().anyMatch(a -> a.parameters() > 0);
        int width = (tokens ? rows.getFirst().T() : 1) * head.outputs();
        float[] logits = new float[Math.multiplyExact(rows.size(), width)];
        Set<Use> uses = EnumSet.of(Use.LOGITS);
        if (labelled)
            uses.add(Use.EVALUATE);
        if (gradients)
            uses.addAll(Set.of(Use.TRAIN, Use.NO_DROPOUT));
        SafeTensorsWriter file = new SafeTensorsWriter();
        double loss = 0;
        try (TaskSession session = new TaskSession(model, backend, List.of(shape(json, rows.getFirst())), false, uses,
                0)) {
            for (int b = 0; b < rows.size(); b++) {
                System.arraycopy(session.logits(rows.get(b)), 0, logits, b * width, width);
                if (labelled)
                    loss += session.evaluate(rows.get(b));
                if (gradients)
                    session.microBatch(rows.get(b), 1f / count);
            }
            if (gradients)
                session.gradients().forEach((t, g) -> file.f32("grad/" + place(model, t), g,
                        Arrays.stream(t.dims()).asLongStream().toArray()));
        }
        long[] shape = tokens ? new long[] {rows.size(), rows.getFirst().T(), head.outputs()}
                : new long[] {rows.size(), head.outputs()};
        file.f32("logits", logits, shape);
        if (count > 0)
            file.f32("loss", new float[] {(float) (loss / count)});
        file.write(out);
        return new Written(shape, loss / count, count);
    }

    private static TaskShape shape(ObjectNode json, TaskBatch row) {
        JsonNode image = json.path("pixel_values").path(0).path(0);
        return image.isArray() ? new TaskShape(1, row.T(), image.size(), image.path(0).size())
                : TaskShape.text(1, row.T());
    }

    /// The tensor's name in the only adapter's file; of several adapters, the adapter's name and a slash before it.
    private static String place(TaskModel model, Tensor t) {
        for (Map.Entry<String, Adapter> e : model.named().entrySet())
            if (e.getValue().tensors().contains(t))
                return (model.named().size() < 2 ? "" : e.getKey() + "/") + "base_model.model."
                        + e.getValue().nameInFile(t);
        throw new IllegalStateException(t + " belongs to no adapter");
    }

    /// Reads the rows of the file as batches of one.
    private record Reader(Path file, ObjectNode json, TaskConfig config) {
        List<TaskBatch> rows() {
            List<TaskBatch> bare = config.images() ? images() : texts();
            JsonNode labels = json.path("labels");
            if (labels.isMissingNode() || labels.isNull())
                return bare;
            if (!labels.isArray() || labels.size() != bare.size())
                throw bad("labels", bare.size() + " entries, one for each row");
            Head head = config.head();
            List<TaskBatch> out = new ArrayList<>();
            for (int b = 0; b < bare.size(); b++) {
                TaskBatch row = bare.get(b);
                JsonNode l = labels.get(b);
                if (head.problem() == Problem.CLASSES) {
                    int[] classes = head.pooling() == Pooling.TOKENS ? ints("labels", l)
                            : new int[] {integer("labels", l)};
                    if (head.pooling() == Pooling.TOKENS && classes.length != row.T())
                        throw bad("labels", "a label for each token");
                    out.add(row.labelled(classes));
                } else {
                    float[] targets = l.isArray() ? new float[l.size()] : new float[] {number("labels", l)};
                    for (int i = 0; l.isArray() && i < targets.length; i++)
                        targets[i] = number("labels", l.get(i));
                    if (targets.length != head.outputs())
                        throw bad("labels", head.outputs() + " numbers for each row");
                    out.add(row.aimedAt(targets));
                }
            }
            return out;
        }

        private List<TaskBatch> texts() {
            JsonNode ids = json.path("input_ids");
            if (!ids.isArray() || ids.isEmpty())
                throw bad("input_ids", "a list of rows of token ids");
            List<TaskBatch> out = new ArrayList<>();
            int T = ids.get(0).size();
            for (int b = 0; b < ids.size(); b++) {
                int[] row = ints("input_ids", ids.get(b));
                if (row.length != T || T == 0)
                    throw bad("input_ids", "rows of one length; pad them and say so in attention_mask");
                int[] mask = optional("attention_mask", b, T, 1);
                int from = 0;
                while (from < T && mask[from] == 0)
                    from++;
                int to = from;
                while (to < T && mask[to] == 1)
                    to++;
                for (int t = to; t < T; t++)
                    if (mask[t] != 0)
                        throw bad("attention_mask", "ones with padding (zeros) before or after them in each row");
                if (from == to)
                    throw bad("attention_mask", "a one in each row");
                out.add(TaskBatch.text(1, T, row, optional("token_type_ids", b, T, 0), new int[] {from},
                        new int[] {to}));
            }
            return out;
        }

        private int[] optional(String key, int b, int T, int absent) {
            JsonNode all = json.path(key);
            int[] out = new int[T];
            Arrays.fill(out, absent);
            if (all.isMissingNode() || all.isNull())
                return out;
            int[] row = ints(key, all.path(b));
            if (row.length != T)
                throw bad(key, "a number for each of input_ids");
            return row;
        }

        private List<TaskBatch> images() {
            Image i = (Image) ((TaskConfig.OfEncoder) config).encoder().input();
            JsonNode all = json.path("pixel_values");
            if (!all.isArray() || all.isEmpty())
                throw bad("pixel_values", "nested lists of batch, channels, rows and columns");
            int h = all.path(0).path(0).size();
            int w = all.path(0).path(0).path(0).size();
            if (h < i.patchHeight() || w < i.patchWidth())
                throw bad("pixel_values", "images of at least a patch of " + i.patchHeight() + " x " + i.patchWidth());
            List<TaskBatch> out = new ArrayList<>();
            for (JsonNode image : all) {
                float[] pixels = new float[i.channels() * h * w];
                int at = 0;
                if (image.size() != i.channels())
                    throw bad("pixel_values", i.channels() + " channels in each image");
                for (JsonNode channel : image)
                    for (JsonNode row : sized(channel, h))
                        for (JsonNode value : sized(row, w))
                            pixels[at++] = number("pixel_values", value);
                out.add(TaskBatch.images(1, i.tokens(h, w), pixels));
            }
            return out;
        }

        private JsonNode sized(JsonNode list, int n) {
            if (list.size() != n)
                throw bad("pixel_values", "images of one size");
            return list;
        }

        private int[] ints(String key, JsonNode row) {
            if (!row.isArray())
                throw bad(key, "a list of rows of whole numbers");
            int[] out = new int[row.size()];
            for (int t = 0; t < out.length; t++)
                out[t] = integer(key, row.get(t));
            return out;
        }

        private int integer(String key, @Nullable JsonNode n) {
            if (n == null || !n.isIntegralNumber() || !n.canConvertToInt())
                throw bad(key, "whole numbers, got " + n);
            return n.intValue();
        }

        private float number(String key, @Nullable JsonNode n) {
            if (n == null || !n.isNumber())
                throw bad(key, "numbers, got " + n);
            return n.floatValue();
        }

        private FormatException bad(String key, String expected) {
            return new FormatException(file, "'" + key + "' must be " + expected);
        }
    }
}
