package dev.gyre.trainer.task;

import dev.gyre.model.files.Json;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// Loss and scores on held-out examples.
///
/// @param scores by name, the first is the one that runs are compared by
public record TaskScores(double loss, Map<String, Double> scores) {
    public static TaskScores of(TaskEvaluation e) {
        return new TaskScores(e.loss(), e.scores());
    }

    void into(ObjectNode o) {
        o.put("loss", loss);
        scores.forEach(o::put);
    }

    /// What [#into] wrote under a key; null where there is none.
    static @Nullable TaskScores read(Path file, String key) {
        JsonNode o = Json.readObject(file).path(key);
        if (!o.has("loss"))
            return null;
        Map<String, Double> scores = new LinkedHashMap<>();
        o.properties().forEach(e -> {
            if (!e.getKey().equals("loss"))
                scores.put(e.getKey(), number(e.getValue()));
        });
        return new TaskScores(number(o.path("loss")), scores);
    }

    /// What JSON has no number for is spelt out.
    private static double number(JsonNode n) {
        return n.isNumber() ? n.doubleValue() : Double.NaN;
    }

    /// On one line.
    @Override
    public String toString() {
        StringBuilder s = new StringBuilder(String.format(Locale.ROOT, "valid loss %.4f", loss));
        scores.forEach((name, v) -> s.append(String.format(Locale.ROOT, "   %s %.4f", name, v)));
        return s.toString();
    }
}
