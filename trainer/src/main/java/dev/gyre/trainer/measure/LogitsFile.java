package dev.gyre.trainer.measure;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// Logits, loss and adapter gradients of given tokens, as a safetensors file that another framework can be compared with.
public final class LogitsFile {
    private LogitsFile() {
    }

    /// @param length tokens of a row
    /// @param loss mean over the labels that count; NaN where none does
    public record Written(int rows, int length, int vocabulary, double loss, int labels) {
    }

    /// @param tokens a JSON file: `input_ids` and, optionally, `labels` and `attention_mask`, each a list of rows. The gradient
    ///        of the loss is written for each adapter tensor where there are labels and adapters.
    /// @param required whether it is an error that there are no gradients
    /// @param warnings gets each remark on the model's files
    public static Written write(Path tokens, ModelRef ref, boolean required, Backend backend, Path out,
            Consumer<String> warnings) {
        AtomicFiles.requireNewFile(out);
        if (required && ref.adapters().isEmpty())
            throw new InputException("--gradients needs an adapter to take gradients of; give --adapter DIR");
        Tokens in = Tokens.read(tokens);
        if (required && in.trained == 0)
            throw new InputException(tokens + ": --gradients needs labels that count (not -100) after the shift");
        Transformer model = ref.load(backend, warnings);
        int V = model.config().vocabSize();
        boolean gradients =
                required || in.trained > 0 && model.adapters().stream().anyMatch(a -> a.parameters() > 0);
        if ((long) in.B * in.T * V > Integer.MAX_VALUE - 8L)
            throw new InputException(tokens + ": " + in.B + " x " + in.T + " tokens with a vocabulary of " + V
                    + " make more logits than fit one file here; give fewer rows");
        float[] logits = new float[in.B * in.T * V];
        SafeTensorsWriter file = new SafeTensorsWriter();
        double loss = 0;
        Set<Use> uses = EnumSet.of(Use.LOGITS);
        if (gradients)
            uses.addAll(Set.of(Use.TRAIN, Use.NO_DROPOUT));
        try (TrainSession session = new TrainSession(model, backend, List.of(new BatchShape(1, in.T)), false, uses)) {
            float[] row = new float[in.T * V];
            for (int b = 0; b < in.B; b++) {
                Batch batch = in.row(b);
                loss += session.logits(batch, row);
                System.arraycopy(row, 0, logits, b * row.length, row.length);
                if (gradients)
                    session.microBatch(batch, 1f / in.trained);
            }
            if (gradients)
                session.gradients()
                        .forEach((t, g) -> file.f32("grad/" + place(model, t), g,
                                Arrays.stream(t.dims()).asLongStream().toArray()));
        }
        requireFinite(logits, in, V);
        file.f32("logits", logits, in.B, in.T, V);
        if (in.trained > 0)
            file.f32("loss", new float[] {(float) (loss / in.trained)});
        file.write(out);
        return new Written(in.B, in.T, V, loss / in.trained, in.trained);
    }

    private static void requireFinite(float[] logits, Tokens in, int V) {
        for (int i = 0; i < logits.length; i++)
            if (!Float.isFinite(logits[i]))
                throw new CheckFailedException("logits: row " + i / V / in.T + ", position " + i / V % in.T + " holds "
                        + logits[i] + ": weights or rotary settings of the model are not what they should be; nothing"
                        + " was written");
    }

    /// The tensor's name in the only adapter's file; of several adapters, the adapter's name and a slash before it.
    private static String place(Transformer model, Tensor t) {
        for (String name : model.adapterNames()) {
            Adapter a = model.named(name);
            if (a.tensors().contains(t))
                return (model.adapters().size() < 2 ? "" : name + "/") + "base_model.model." + a.nameInFile(t);
        }
        throw new IllegalStateException(t + " belongs to no adapter");
    }

    /// The input file, labels shifted.
    static final class Tokens {
        final int B;
        final int T;
        private final int[][] ids;
        private final int[][] labels;
        private final int[][] start;
        final int trained;

        private Tokens(int[][] ids, int[][] labels, int[][] start) {
            this.B = ids.length;
            this.T = ids[0].length;
            this.ids = ids;
            this.labels = labels;
            this.start = start;
            this.trained =
                    (int) Arrays.stream(labels).flatMapToInt(Arrays::stream)
                            .filter(l -> l != Batch.IGNORE)
                            .count();
        }

        static Tokens read(Path file) {
            ObjectNode o = Json.readObject(file);
            for (Map.Entry<String, JsonNode> e : o.properties())
                if (!List.of("input_ids", "labels", "attention_mask").contains(e.getKey()))
                    throw new FormatException(file,
                            "unknown key '" + e.getKey() + "'; known are input_ids, labels and attention_mask");
            int[][] ids = matrix(file, o, "input_ids", null);
            if (ids == null)
                throw new FormatException(file, "'input_ids' is missing: a list of rows of token ids");
            int[][] given = matrix(file, o, "labels", ids);
            int[][] mask = matrix(file, o, "attention_mask", ids);
            int T = ids[0].length;
            int[][] labels = new int[ids.length][T];
            int[][] start = new int[ids.length][T];
            for (int b = 0; b < ids.length; b++) {
                Arrays.fill(labels[b], Batch.IGNORE);
                if (given != null)
                    System.arraycopy(given[b], 1, labels[b], 0, T - 1);
                if (mask != null)
                    start[b] = starts(file, b, mask[b]);
            }
            return new Tokens(ids, labels, start);
        }

        /// Padding before the tokens is hidden from them by `start`; padding after them is hidden by causality.
        private static int[] starts(Path file, int b, int[] mask) {
            int T = mask.length;
            int first = 0;
            while (first < T && mask[first] == 0)
                first++;
            int end = first;
            while (end < T && mask[end] == 1)
                end++;
            for (int t = end; t < T; t++)
                if (mask[t] != 0)
                    throw new FormatException(file, "attention_mask of row " + b
                            + (mask[t] == 1 ? " has a gap" : " holds " + mask[t])
                            + "; it must be ones with padding (zeros) before or after");
            int[] start = new int[T];
            for (int t = 0; t < T; t++)
                start[t] = Math.min(t, first);
            return start;
        }

        private static int @Nullable [][] matrix(Path file, ObjectNode o, String key, int @Nullable [][] like) {
            JsonNode rows = o.get(key);
            if (rows == null || rows.isNull() && like != null)
                return null;
            if (!rows.isArray() || rows.isEmpty())
                throw new FormatException(file, "'" + key + "' must be a list of rows of integers");
            int[][] out = new int[rows.size()][];
            for (int b = 0; b < out.length; b++) {
                JsonNode row = rows.get(b);
                if (!row.isArray() || row.isEmpty())
                    throw new FormatException(file, "row " + b + " of '" + key + "' must be a list of integers");
                out[b] = new int[row.size()];
                for (int t = 0; t < out[b].length; t++) {
                    JsonNode n = row.get(t);
                    if (!n.isIntegralNumber() || !n.canConvertToInt())
                        throw new FormatException(file, "'" + key + "' row " + b + " place " + t + ": " + n
                                + " is not a whole number");
                    out[b][t] = n.intValue();
                }
                int[] other = like == null ? out[0] : b < like.length ? like[b] : new int[0];
                if (out[b].length != other.length)
                    throw new FormatException(file, "row " + b + " of '" + key + "' has " + out[b].length + " values, "
                            + (like == null ? "row 0" : "its input_ids") + " " + other.length
                            + "; pad to the same length and say so in attention_mask");
            }
            if (like != null && out.length != like.length)
                throw new FormatException(file, "'" + key + "' has " + out.length + " rows, input_ids " + like.length);
            return out;
        }

        /// Row `b` as a batch of one; positions count from 0 whatever the padding, as transformers does by default.
        Batch row(int b) {
            int[] positions = new int[T];
            Arrays.setAll(positions, i -> i);
            return new Batch(1, T, ids[b], labels[b], positions, start[b]);
        }
    }
}
