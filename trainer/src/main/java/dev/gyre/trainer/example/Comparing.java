package dev.gyre.trainer.example;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.trainer.record.Metrics;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// Runs of an example and what came of them.
public final class Comparing {
    private Comparing() {
    }

    /// A run, measured.
    ///
    /// @param accuracy on held-out examples of the new task, `before` training its head
    /// @param kept score of the old skill
    /// @param trainable parameters, the new head among them
    /// @param seconds of the training steps
    /// @param memory largest resident set of the process during training in bytes; 0 where it is not known
    public record Row(String method, double before, double accuracy, double kept, long trainable, double seconds,
            long memory) {
    }

    /// Writes run.yaml of a run.
    ///
    /// @param sections beside `model`, `data`, `adapter` and `output`
    public static Path write(Path yaml, Path model, String adapter, Path train, Path valid, Path run,
            String sections) {
        AtomicFiles.write(yaml, """
                model: {path: %s}
                task: {kind: class}
                adapter: %s
                data: {train: %s, valid: %s}
                eval: {every: 0}
                output: {dir: %s, log_every: 20}
                %s""".formatted(quoted(model), adapter, quoted(train), quoted(valid), quoted(run), sections));
        return yaml;
    }

    private static String quoted(Path p) {
        return "\"" + p.toString().replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    /// Reads what a finished run says of itself.
    ///
    /// @param kept the old skill after it
    public static Row row(String method, Path run, double kept) {
        ObjectNode said = Json.readObject(run.resolve("task.json"));
        double before = said.path("before").path("accuracy").asDouble(Double.NaN);
        double after = said.path("after").path("accuracy").asDouble(Double.NaN);
        double seconds = 0;
        long memory = 0;
        for (JsonNode step : Metrics.read(run.resolve("metrics.jsonl")).with("loss")) {
            seconds += step.path("seconds").asDouble(0);
            memory = Math.max(memory, step.path("process").asLong(0));
        }
        return new Row(method, before, after, kept, trainable(run), seconds, memory);
    }

    /// Values in the files of the adapter, or of the model where all of it was trained.
    private static long trainable(Path run) {
        Path adapter = run.resolve("adapter").resolve("adapter_model.safetensors");
        Path file = Files.isRegularFile(adapter) ? adapter : run.resolve("model").resolve("model.safetensors");
        if (!Files.isRegularFile(file))
            throw new FormatException(run, "has neither adapter nor model; the run is not finished");
        try (SafeTensors f = SafeTensors.open(file)) {
            return f.names().stream().mapToLong(n -> f.info(n).size()).sum();
        }
    }

    /// The table in Markdown.
    ///
    /// @param kept what the column of the old skill is called
    /// @param base the old skill of the model before
    public static List<String> table(List<Row> rows, String kept, double base) {
        List<String> out = new java.util.ArrayList<>();
        out.add("| method | trainable parameters | accuracy | " + kept + " | time, s | memory, MB |");
        out.add("|---|---|---|---|---|---|");
        out.add(String.format(Locale.ROOT, "| before | | | %.1f %% | | |", 100 * base));
        for (Row r : rows)
            out.add(String.format(Locale.ROOT, "| %s | %,d | %.1f %% | %.1f %% | %.0f | %.0f |", r.method, r.trainable,
                    100 * r.accuracy, 100 * r.kept, r.seconds, r.memory / 1e6));
        return out;
    }
}
