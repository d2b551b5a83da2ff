package dev.gyre.trainer.example;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.task.TaskDir;
import dev.gyre.trainer.task.Scores;
import dev.gyre.trainer.task.TaskUse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.ToDoubleFunction;

/// What a model could do before it was fine-tuned, measured afterwards: its body as the run left it, under the head that it
/// had before.
public final class OldSkill {
    private OldSkill() {
    }

    /// How often the embedding of a first half is nearest to that of its own second half.
    public static double finds(Path model, List<String> first, List<String> second, Backend backend) {
        try (TaskUse use = TaskUse.open(model, List.of(), null, backend, _ -> {
        })) {
            List<float[]> a = use.embed(first);
            int width = a.getFirst().length;
            return Objects.requireNonNull(
                    Scores.retrieval(flat(a, width), flat(use.embed(second), width), width).get("recall_at_1"));
        }
    }

    /// Accuracy on the examples of a file.
    public static double accuracy(Path model, Path file, Backend backend) {
        try (TaskUse use = TaskUse.open(model, List.of(), null, backend, _ -> {
        })) {
            return Objects.requireNonNull(use.evaluate(file).scores().get("accuracy"));
        }
    }

    private static float[] flat(List<float[]> rows, int width) {
        float[] out = new float[rows.size() * width];
        for (int i = 0; i < rows.size(); i++)
            System.arraycopy(rows.get(i), 0, out, i * width, width);
        return out;
    }

    /// Measures the model that a run started from with the weights that the run gave its body.
    ///
    /// @param base the model directory that the run started from
    /// @param scratch folder for what is deleted again
    /// @param measure gets a model directory
    public static double after(Path base, Path run, Path scratch, Backend backend, ToDoubleFunction<Path> measure) {
        boolean whole = Files.isDirectory(run.resolve("model"));
        Path merged = whole ? run.resolve("model") : scratch.resolve("merged");
        Path back = scratch.resolve("back");
        try {
            AtomicFiles.createFolder(scratch);
            if (!whole)
                try (TaskUse use = TaskUse.open(run, List.of(), null, backend, _ -> {
                })) {
                    use.merge(merged);
                }
            try (TaskDir was = TaskDir.open(base);
                    TaskDir is = was.config().head().problem() == Problem.EMBEDDING
                            ? TaskDir.open(merged, new TaskDir.NewHead(Problem.EMBEDDING, false, List.of()))
                            : TaskDir.open(merged)) {
                Set<String> body = new LinkedHashSet<>(was.config().tensorShapes().keySet());
                body.removeIf(n -> n.startsWith("classifier"));
                was.write(back, body, name -> {
                    HostData w = is.weight(name, false);
                    return w.decode(0, Math.toIntExact(w.size()));
                });
            }
            return measure.applyAsDouble(back);
        } finally {
            AtomicFiles.delete(scratch);
        }
    }
}
