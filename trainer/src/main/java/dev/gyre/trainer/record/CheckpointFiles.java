package dev.gyre.trainer.record;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.loop.Checkpoint;
import java.nio.file.Path;
import tools.jackson.databind.JsonNode;
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
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("format", FORMAT);
        o.put("step", c.step());
        o.put("epoch", c.position().epoch());
        o.put("row", c.position().row());
        o.put("best_loss", c.bestLoss());
        o.put("best_step", c.bestStep());
        o.put("draws", c.draws());
        AtomicFiles.write(dir.resolve(JSON), Json.pretty(o));
    }

    static Checkpoint read(Path dir) {
        Path json = dir.resolve(JSON);
        ObjectNode o = Json.readObject(json);
        if (number(json, o, "format") != FORMAT)
            throw new FormatException(json, "written by another version of Gyre; resume with that one");
        JsonNode best = o.get("best_loss");
        try (SafeTensors t = SafeTensors.open(dir.resolve(TENSORS))) {
            TrainState state = new TrainState(t.f32("params"), t.f32("m"), t.f32("v"),
                    t.contains("method") ? t.f64("method") : new double[0]);
            return new Checkpoint(number(json, o, "step"),
                    new Batches.Position((int) number(json, o, "epoch"), (int) number(json, o, "row")),
                    best == null || best.isNull() ? null : best.doubleValue(), number(json, o, "best_step"),
                    number(json, o, "draws"), state);
        }
    }

    private static long number(Path file, ObjectNode o, String key) {
        JsonNode n = o.get(key);
        if (n == null || !n.isIntegralNumber())
            throw new FormatException(file,
                    "lacks the number '" + key + "'; the checkpoint is damaged, remove its folder to"
                            + " resume from the one before");
        return n.longValue();
    }
}
