package dev.gyre.trainer.record;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.loop.Checkpoint;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// A [Checkpoint] as two files: `trainer_state.safetensors` (params, m, v, and what a method remembers) and `trainer_state.json` (the rest).
final class CheckpointFiles {
    private static final String TENSORS = "trainer_state.safetensors";
    private static final String JSON = "trainer_state.json";
    private static final int FORMAT = 1;

    private CheckpointFiles() {
    }

    /// Writes both files into `dir`, which the caller makes appear atomically.
    static void write(Checkpoint c, Path dir) {
        TrainState s = c.state();
        SafeTensorsWriter tensors = new SafeTensorsWriter().f32("params", s.params(), s.params().length)
                .f32("m", s.m(), s.m().length).f32("v", s.v(), s.v().length);
        if (s.method().length > 0)
            tensors.f64("method", s.method(), s.method().length);
        tensors.write(dir.resolve(TENSORS));
        AtomicFiles.write(dir.resolve(JSON), Json.pretty(describe(c)));
    }

    /// All but the state.
    static ObjectNode describe(Checkpoint c) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("format", FORMAT);
        o.put("step", c.step());
        o.put("epoch", c.position().epoch());
        o.put("row", c.position().row());
        o.put("best_loss", c.bestLoss());
        o.put("best_step", c.bestStep());
        o.put("draws", c.draws());
        Checkpoint.Watch w = c.watch();
        ObjectNode watch = o.putObject("watch");
        ArrayNode recent = watch.putArray("recent_losses");
        for (double loss : w.recent())
            recent.add(loss);
        watch.put("lowest_average", w.lowest());
        watch.put("zero_gradients", w.zeroGradients());
        return o;
    }

    /// Whether a folder of a checkpoint's name is one.
    static boolean isIn(Path dir) {
        return Files.isRegularFile(dir.resolve(JSON));
    }

    static Checkpoint read(Path dir) {
        Path json = dir.resolve(JSON);
        ObjectNode o = Json.readObject(json);
        if (number(json, o, "format", Integer.MAX_VALUE) != FORMAT)
            throw new FormatException(json, "written by another version of Gyre; resume with that one");
        try (SafeTensors t = SafeTensors.open(dir.resolve(TENSORS))) {
            TrainState state = new TrainState(finite(dir, t, "params"), finite(dir, t, "m"), finite(dir, t, "v"),
                    t.contains("method") ? t.f64("method") : new double[0]);
            return of(json, o, state);
        }
    }

    /// @param json named in messages
    static Checkpoint of(Path json, ObjectNode o, TrainState state) {
        return new Checkpoint(number(json, o, "step", Long.MAX_VALUE),
                new BatchStream.Position((int) number(json, o, "epoch", Integer.MAX_VALUE),
                        (int) number(json, o, "row", Integer.MAX_VALUE)),
                loss(json, o, "best_loss"), number(json, o, "best_step", Long.MAX_VALUE),
                number(json, o, "draws", Long.MAX_VALUE), watch(json, o), state);
    }

    /// Checkpoints of versions that did not keep it have none.
    private static Checkpoint.Watch watch(Path file, ObjectNode o) {
        if (!o.has("watch"))
            return Checkpoint.Watch.NONE;
        if (!(o.get("watch") instanceof ObjectNode w))
            throw damaged(file, "watch");
        List<Double> recent = new ArrayList<>();
        for (JsonNode n : w.path("recent_losses")) {
            if (!n.isNumber() || !Double.isFinite(n.doubleValue()))
                throw damaged(file, "recent_losses");
            recent.add(n.doubleValue());
        }
        return new Checkpoint.Watch(recent, loss(file, w, "lowest_average"),
                (int) number(file, w, "zero_gradients", Integer.MAX_VALUE));
    }

    private static @Nullable Double loss(Path file, ObjectNode o, String key) {
        JsonNode n = o.get(key);
        if (n == null || n.isNull())
            return null;
        if (!n.isNumber() || !Double.isFinite(n.doubleValue()))
            throw damaged(file, key);
        return n.doubleValue();
    }

    private static long number(Path file, ObjectNode o, String key, long most) {
        JsonNode n = o.get(key);
        if (n == null || !n.isIntegralNumber() || !n.canConvertToLong() || n.longValue() < 0 || n.longValue() > most)
            throw damaged(file, key);
        return n.longValue();
    }

    private static FormatException damaged(Path file, String key) {
        return new FormatException(file, "lacks the number '" + key
                + "'; the checkpoint is damaged, remove its folder to resume from the one before");
    }

    /// Training cannot go on from NaN.
    private static float[] finite(Path dir, SafeTensors t, String name) {
        float[] values = t.f32(name);
        for (float v : values)
            if (!Float.isFinite(v))
                throw new FormatException(dir.resolve(TENSORS), "'" + name + "' holds " + v
                        + "; the checkpoint is damaged, remove its folder to resume from the one before");
        return values;
    }
}
