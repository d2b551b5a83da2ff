package dev.gyre.trainer.record;

import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.json.JsonReadFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// `metrics.jsonl` as it was written by [MetricsLog].
public final class Metrics {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();

    private final List<JsonNode> lines;

    private Metrics(List<JsonNode> lines) {
        this.lines = lines;
    }

    /// All lines as [MetricsLines] writes them; a line that a crash or a full disk cut off, wherever, is passed over.
    public static Metrics read(Path file) {
        List<JsonNode> out = new ArrayList<>();
        for (String line : lines(file)) {
            ObjectNode o = parse(line);
            if (o != null && isWhole(o))
                out.add(o);
        }
        return new Metrics(out);
    }

    /// What a file has behind a place.
    ///
    /// @param lines whole ones
    /// @param end where the next one begins
    /// @param run of which run the file is: another one after it was resumed, when lines behind the checkpoint are removed
    public record Tail(List<JsonNode> lines, long end, String run) {
        public Tail {
            lines = List.copyOf(lines);
        }
    }

    /// Bytes that are read at once of a file that grows.
    private static final int MOST = 1 << 24;

    /// The whole lines of a file that is being written, from a place on that [Tail#end] gave before, or 0; none where the file
    /// is not there yet.
    public static Tail tail(Path file, long from) {
        try (FileChannel c = FileChannel.open(file, StandardOpenOption.READ)) {
            Object key = Files.readAttributes(file, BasicFileAttributes.class).fileKey();
            String run = String.valueOf(key == null
                    ? Files.readAttributes(file, BasicFileAttributes.class).creationTime() : key);
            if (from > c.size())
                return new Tail(List.of(), from, "cut " + run);
            List<JsonNode> out = new ArrayList<>();
            long at = from;
            while (at < c.size()) {
                ByteBuffer b = ByteBuffer.allocate((int) Math.min(MOST, c.size() - at));
                while (b.hasRemaining() && c.read(b, at + b.position()) >= 0)
                    continue;
                byte[] bytes = b.array();
                int n = b.position();
                while (n > 0 && bytes[n - 1] != '\n')
                    n--;
                if (n == 0)
                    break;
                new String(bytes, 0, n, StandardCharsets.UTF_8).lines().forEach(line -> {
                    ObjectNode o = parse(line);
                    if (o != null && isWhole(o))
                        out.add(o);
                });
                at += n;
            }
            return new Tail(out, at, run);
        } catch (NoSuchFileException e) {
            return new Tail(List.of(), 0, "none");
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    public static Metrics of(Tail tail) {
        return new Metrics(tail.lines());
    }

    /// The lines of `file`, of which the last may be cut off anywhere, also inside a character.
    static List<String> lines(Path file) {
        try {
            return new String(Files.readAllBytes(file), StandardCharsets.UTF_8).lines().toList();
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    /// A line's object; null where it is none or cut off.
    static @Nullable ObjectNode parse(String line) {
        try {
            if (!(JSON.readTree(line) instanceof ObjectNode o) || !isInteger(o.path("step")))
                return null;
            for (String key : List.copyOf(o.propertyNames()))
                // as the writer spells what JSON has no number for
                if (NON_FINITE.contains(o.path(key).asString("")))
                    o.put(key, Double.parseDouble(o.path(key).asString("")));
            return o;
        } catch (JacksonException e) {
            return null;
        }
    }

    private static final Set<String> NON_FINITE = Set.of("NaN", "Infinity", "-Infinity");

    private static boolean isInteger(JsonNode n) {
        return n.isIntegralNumber() && n.canConvertToLong();
    }

    private static boolean isWhole(ObjectNode o) {
        return (!o.has("loss") || numbers(o, "loss", "grad_norm", "lr", "tokens", "seconds"))
                && (!o.has("valid_loss") || numbers(o, "valid_loss", "seconds"))
                && (!o.has("samples") || o.path("samples").isArray())
                && (!o.has("modules") || numbers(o, "skew_norm", "orthogonality_defect")
                        && o.path("modules").valueStream().allMatch(
                                m -> m.size() == 3 && m.valueStream().allMatch(JsonNode::isNumber)));
    }

    private static boolean numbers(ObjectNode o, String... keys) {
        return Arrays.stream(keys).allMatch(k -> o.path(k).isNumber());
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
