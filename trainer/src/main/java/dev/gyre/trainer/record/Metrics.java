package dev.gyre.trainer.record;

import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// `metrics.jsonl` as it was written by [MetricsLog].
public final class Metrics {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final List<JsonNode> lines;

    private Metrics(List<JsonNode> lines) {
        this.lines = lines;
    }

    /// All complete lines; a line that a crash cut off is passed over.
    public static Metrics read(Path file) {
        List<JsonNode> out = new ArrayList<>();
        try {
            for (String line : Files.readAllLines(file))
                try {
                    out.add(JSON.readTree(line));
                } catch (JacksonException e) {
                    continue;
                }
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        return new Metrics(out);
    }

    /// The lines that have `key`, in order: `loss` (steps), `valid_loss` (evaluations), `modules` (rotations).
    public List<JsonNode> with(String key) {
        return lines.stream().filter(n -> n.has(key)).toList();
    }

    /// Over the second half of the steps; NaN without steps.
    public double medianStepSeconds() {
        double[] s = secondHalf().stream().mapToDouble(n -> n.path("seconds").doubleValue()).sorted().toArray();
        return s.length == 0 ? Double.NaN : (s[(s.length - 1) / 2] + s[s.length / 2]) / 2;
    }

    /// Over the second half of the steps; NaN without steps.
    public double tokensPerSecond() {
        List<JsonNode> half = secondHalf();
        double[] sums = new double[2];
        half.forEach(n -> {
            sums[0] += n.path("tokens").doubleValue();
            sums[1] += n.path("seconds").doubleValue();
        });
        return Arrays.stream(sums).allMatch(x -> x > 0) ? sums[0] / sums[1] : Double.NaN;
    }

    private List<JsonNode> secondHalf() {
        List<JsonNode> steps = with("loss");
        return steps.subList(steps.size() / 2, steps.size());
    }
}
