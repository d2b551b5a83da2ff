package dev.gyre.trainer.report;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.OpTime;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TuningSettings;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.DataSets;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.measure.Evaluation;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.MergeCheck;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.measure.WeightGeometry;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.record.Provenance;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// `report.html` of a run: one page that needs nothing else. What must be computed for it is in `report.json`, so that
/// the page can be made again from the run directory alone; a run that was stopped has a page of its curves.
public final class Report {
    public static final String PAGE = "report.html";
    private static final String DATA = "report.json";
    /// Points of a curve, at most; longer runs are averaged.
    private static final int POINTS = 1500;
    /// Steps whose rotations the page shows, at most.
    private static final int FRAMES = 60;
    private static final int SAMPLES = 8;
    private static final int SHOWN = 3;
    /// Evaluations whose answers the page shows side by side, at most.
    private static final int COLUMNS = 6;
    private static final int BARS = 24;
    /// Steps that are measured for the times of single operations, and for how long steps are taken before in a process that
    /// did not train: nothing is compiled there.
    private static final int TIMED = 3;
    private static final long WARM_NANOS = 4_000_000_000L;

    private Report() {
    }

    /// Looks closely at the result of a finished run: answers before and after, hyperspherical energy, times of single
    /// operations, whether it merges, the data. Writes `report.json`.
    ///
    /// @param warm whether this process trained, so that its code is compiled; else steps are taken before any is timed
    public static void examine(RunConfig c, Path dir, Backend backend, boolean warm) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        Path base = c.model().directory();
        ModelText text = ModelText.load(c);
        data(c, text, o.putObject("data"));
        samples(c, dir, text, backend, o.putArray("samples"));
        Transformer result = ModelRef.of(dir, List.of()).load(backend);
        ArrayNode energy = o.putArray("energy");
        if (!result.adapters().isEmpty()) {
            for (WeightGeometry w : WeightGeometry.of(result, backend))
                energy.addObject().put("weight", w.weight()).put("before", w.before()).put("after", w.after());
        }
        timings(c, result, text, backend, warm ? 0 : WARM_NANOS, o.putArray("timings"));
        if (!result.adapters().isEmpty())
            merge(result, Results.read(dir), backend, o.putObject("merge"));
        AtomicFiles.write(dir.resolve(DATA), Json.pretty(o));
    }

    /// Whether [#examine] has looked at the run.
    public static boolean isExamined(Path dir) {
        return Files.exists(dir.resolve(DATA));
    }

    private static void data(RunConfig c, ModelText text, ObjectNode o) {
        TokenizedSet set = train(c, text);
        o.put("examples", set.size()).put("tokens", set.tokens()).put("targets", set.targets())
                .put("truncated", set.truncated()).put("dropped", set.dropped());
        int least = Integer.MAX_VALUE;
        int most = 0;
        for (int i = 0; i < set.size(); i++) {
            least = Math.min(least, set.length(i));
            most = Math.max(most, set.length(i));
        }
        int width = Math.ceilDiv(most - least + 1, BARS);
        int[] bars = new int[Math.ceilDiv(most - least + 1, width)];
        for (int i = 0; i < set.size(); i++)
            bars[(set.length(i) - least) / width]++;
        ArrayNode histogram = o.putArray("histogram");
        for (int i = 0; i < bars.length; i++)
            histogram.addArray().add(least + i * width).add(least + i * width + width - 1).add(bars[i]);
        ArrayNode shown = o.putArray("shown");
        for (int i = 0; i < Math.min(SHOWN, set.size()); i++) {
            ArrayNode tokens = shown.addArray();
            StreamDecoder stream = text.stream();
            for (int j = 0; j < Math.min(set.length(i), 400); j++) {
                String s = stream.add(set.token(i, j));
                // a special token has no text: show its place
                tokens.addArray().add(s.isEmpty() ? "\u00b7" : s).add(set.isTarget(i, j));
            }
        }
    }

    /// How far base and adapter are from the merged model. That holds all changed weights in F32, eight times what they take
    /// in 4 bits: it is left out where this is more than the training took, which may be all there is.
    ///
    /// @param result comes out merged
    private static void merge(Transformer result, @Nullable Results cost, Backend backend, ObjectNode out) {
        List<String> changed = Merge.changed(result);
        long bytes = 0;
        for (var w : result.weights().entrySet())
            bytes += changed.contains(w.getKey()) ? 4L * w.getValue().size() : w.getValue().bytes();
        if (cost != null && bytes > cost.memory().planned()) {
            out.put("bytes", bytes);
            return;
        }
        float[] apart = MergeCheck.logits(result, backend, 1);
        for (String name : changed) {
            result.replace(name, Merge.weight(result, backend, name));
            HeapTrim.collect();
        }
        List.copyOf(result.adapterNames()).forEach(result::detach);
        HeapTrim.collect();
        out.put("relative", MergeCheck.of(apart, MergeCheck.logits(result, backend, 1)).relative());
    }

    private static TokenizedSet train(RunConfig c, ModelText text) {
        return new DataSets(c, text).train();
    }

    private static void samples(RunConfig c, Path dir, ModelText text, Backend backend, ArrayNode out) {
        List<ModelText.Task> tasks = text.tasks(new DataSets(c, text).shown(SAMPLES));
        if (tasks.isEmpty())
            return;
        List<String> before = Evaluation.given(
                new ModelRef(c.model().directory(), List.of(), c.model().base()).load(backend), backend, tasks, text);
        List<String> after = Evaluation.given(ModelRef.of(dir, List.of()).load(backend), backend, tasks, text);
        for (int i = 0; i < tasks.size(); i++)
            out.addObject().put("prompt", tasks.get(i).asked()).put("expected", tasks.get(i).expected())
                    .put("before", before.get(i)).put("after", after.get(i));
    }

    /// Steps on the first rows of the data, after some that are not timed: one, and more until `before` ns are over.
    private static void timings(RunConfig c, Transformer model, ModelText text, Backend backend, long before,
            ArrayNode out) {
        BatchStream.Micro<Batch> m = Batches.inOrder(train(c, text), c.train().microBatch(), c.train().seqLen(),
                c.data().packing(), 1).getFirst();
        HeapTrim.collect();
        try (TrainSession s = new TrainSession(model, backend,
                List.of(new BatchShape(c.train().microBatch(), c.train().seqLen())),
                c.adapter() instanceof Full, c.train().uses())) {
            // a learning rate of zero leaves the model as it is
            AdamWStep update = new AdamWStep(1, 0f, 0.9f, 0.999f, 1e-8f, 0f, 1f);
            List<OpTime> least = List.of();
            Runnable step = () -> {
                s.microBatch(m.batch(), 1f / Math.max(1, m.trained()));
                s.update(update);
            };
            long begun = System.nanoTime();
            do step.run();
            while (System.nanoTime() - begun < before);
            for (int i = 0; i < TIMED; i++) {
                s.time(true);
                step.run();
                least = i == 0 ? s.timings() : faster(least, s.timings());
            }
            for (OpTime t : OpTime.byKind(least)) {
                double seconds = t.nanos() / 1e9;
                out.addObject().put("kind", t.kind()).put("calls", t.calls()).put("seconds", seconds)
                        .put("gflops", seconds > 0 ? t.flops() / seconds / 1e9 : 0);
            }
        }
    }

    /// Each operation's faster time: whatever else the machine does makes single ones ten times as long.
    private static List<OpTime> faster(List<OpTime> a, List<OpTime> b) {
        List<OpTime> out = new ArrayList<>();
        for (int i = 0; i < a.size(); i++)
            out.add(a.get(i).nanos() <= b.get(i).nanos() ? a.get(i) : b.get(i));
        return out;
    }

    /// Writes `report.html` from what the run directory holds; returns its path.
    public static Path write(Path dir) {
        ObjectNode o = content(dir);
        Path page = dir.resolve(PAGE);
        AtomicFiles.write(page,
                Page.html("Gyre \u00b7 " + o.path("name").asString(""), o, "page.js", "run.js", "report.js"));
        return page;
    }

    /// A page of the run as it is now that goes on with what the server of the page tells it.
    ///
    /// @param known what the page begins with
    /// @param watch what the page needs to know of its server
    /// @param nonce that the page's policy allows its scripts and styles by
    public static String live(Path dir, Metrics.Tail known, JsonNode watch, String nonce) {
        ObjectNode o = content(dir, Metrics.of(known));
        // what the state of a run that goes on says better
        o.put("summary", o.path("summary").asString("").replace(UNFINISHED, ""));
        o.set("watch", watch);
        return Page.allowed("Gyre \u00b7 " + o.path("name").asString(""), o, nonce, "page.js", "run.js", "watch.js");
    }

    /// Draws the page's curves into a PNG file.
    public static void picture(Path dir, Path file) {
        AtomicFiles.write(file, CurvesPicture.png(content(dir)));
    }

    /// What the page shows.
    private static ObjectNode content(Path dir) {
        return content(dir, Metrics.read(dir.resolve("metrics.jsonl")));
    }

    private static ObjectNode content(Path dir, Metrics m) {
        TuningSettings c = TuningSettings.of(dir);
        Results r = Results.read(dir);
        Path examined = dir.resolve(DATA);
        ObjectNode o = Files.exists(examined) ? Json.readObject(examined) : JsonNodeFactory.instance.objectNode();
        for (String list : List.of("samples", "energy", "timings")) {
            if (o.has(list) && !o.path(list).isArray())
                throw new FormatException(examined,
                        list + " is no list; remove the file and run gyre train --resume to examine the run again");
            o.withArray(list);
        }
        o.put("name", String.valueOf(dir.toAbsolutePath().normalize().getFileName()));
        o.put("summary", summary(c, r));
        o.set("results", r == null ? null : r.json());
        o.put("forgot", r != null && forgot(r));
        steps(m, o.putObject("steps"));
        valid(m, o.putArray("valid"));
        answered(m, o.putArray("answered"));
        rotations(m, o.putArray("rotations"));
        ArrayNode warnings = o.putArray("warnings");
        warnings(r, m, o).forEach(warnings::add);
        o.set("workers", workers(dir.resolve(Provenance.FILE)));
        o.put("config", read(dir.resolve("run.yaml")));
        o.put("provenance", read(dir.resolve(Provenance.FILE)));
        return o;
    }

    private static final String UNFINISHED = " \u00b7 not finished";

    /// What each worker did with its time; empty for a run of one.
    private static ArrayNode workers(Path provenance) {
        JsonNode all = Files.exists(provenance) ? Json.readObject(provenance).path("worker_seconds")
                : JsonNodeFactory.instance.arrayNode();
        ArrayNode out = JsonNodeFactory.instance.arrayNode();
        for (JsonNode w : all)
            if (w instanceof ObjectNode o && List.of("computing", "exchanging", "waiting").stream()
                    .allMatch(k -> o.path(k).isNumber()))
                out.add(o);
        return out;
    }

    private static String summary(TuningSettings c, @Nullable Results r) {
        String variant = c.adapter().variant();
        return c.adapter().method() + (variant.isEmpty() ? "" : " " + variant) + " on " + c.model().path()
                + " (" + c.model().base().name().toLowerCase(Locale.ROOT) + ") \u00b7 "
                + c.train().microBatch() + " \u00d7 " + c.train().seqLen() + " tokens \u00d7 " + c.train().accumulate()
                + (r == null ? UNFINISHED : " \u00b7 " + r.steps() + (c.train().steps() != null
                        && r.steps() < c.train().steps() ? " of " + c.train().steps() + " steps, stopped early"
                        : r.steps() == 1 ? " step" : " steps")
                        + " \u00b7 " + r.device())
                + " \u00b7 seed " + c.seed();
    }

    /// Curves of the steps; several steps are one point where a curve would have too many.
    private static void steps(Metrics m, ObjectNode o) {
        List<JsonNode> all = m.with("loss");
        int each = Math.max(1, Math.ceilDiv(all.size(), POINTS));
        ArrayNode step = o.putArray("step");
        List<String> keys = List.of("loss", "grad_norm", "lr");
        List<ArrayNode> curves = keys.stream().map(o::putArray).toList();
        ArrayNode speed = o.putArray("tokens_per_second");
        for (int i = 0; i < all.size(); i += each) {
            List<JsonNode> some = all.subList(i, Math.min(all.size(), i + each));
            step.add(some.getLast().path("step").longValue());
            for (int k = 0; k < keys.size(); k++) {
                String key = keys.get(k);
                curves.get(k)
                        .add(some.stream().mapToDouble(n -> n.path(key).doubleValue()).average().orElse(Double.NaN));
            }
            double seconds = some.stream().mapToDouble(n -> n.path("seconds").doubleValue()).sum();
            speed.add(seconds > 0 ? some.stream().mapToDouble(n -> n.path("tokens").doubleValue()).sum() / seconds
                    : 0);
        }
    }

    /// The validation set, then the further ones by name.
    private static void valid(Metrics m, ArrayNode out) {
        List<JsonNode> all = m.with("valid_loss");
        Set<String> also = new TreeSet<>();
        all.forEach(n -> also.addAll(n.path("also_valid").propertyNames()));
        if (!all.isEmpty())
            curve("validation", all, n -> n.path("valid_loss"), out.addObject());
        for (String name : also)
            curve(name, all, n -> n.path("also_valid").path(name), out.addObject());
    }

    private static void curve(String name, List<JsonNode> all, Function<JsonNode, JsonNode> value, ObjectNode o) {
        o.put("name", name);
        ArrayNode step = o.putArray("step");
        ArrayNode loss = o.putArray("loss");
        for (JsonNode n : all)
            if (value.apply(n).isNumber()) {
                step.add(n.path("step").longValue());
                loss.add(value.apply(n).doubleValue());
            }
    }

    /// What was answered on the way: the first, the last and some in between.
    private static void answered(Metrics m, ArrayNode out) {
        List<JsonNode> all = m.with("samples");
        for (int i = 0, n = Math.min(COLUMNS, all.size()); i < n; i++)
            out.add(all.get(n == 1 ? 0 : Math.toIntExact(Math.round(i * (all.size() - 1.0) / (n - 1)))));
    }

    private static void rotations(Metrics m, ArrayNode out) {
        List<JsonNode> all = m.with("modules");
        int each = Math.max(1, Math.ceilDiv(all.size(), FRAMES));
        for (int i = 0; i < all.size(); i++)
            if (i % each == 0 || i == all.size() - 1) {
                ObjectNode o = out.addObject();
                o.put("step", all.get(i).path("step").longValue());
                o.set("modules", all.get(i).get("modules"));
            }
    }

    private static List<String> warnings(@Nullable Results r, Metrics m, ObjectNode o) {
        List<String> out = new ArrayList<>();
        if (r == null)
            out.add("The run is not finished: this page shows its curves so far.");
        List<JsonNode> turns = m.with("modules");
        if (!turns.isEmpty() && Geometry.isDrifted(turns.getLast().path("skew_norm").doubleValue(),
                turns.getLast().path("orthogonality_defect").doubleValue()))
            out.add(String.format(Locale.ROOT, "The rotations are not orthogonal any more: error %.1e at the end, above"
                    + " %.0e (\u2016Q\u2016 of %s is %.2f). Next time: %s.",
                    turns.getLast().path("orthogonality_defect").doubleValue(), Geometry.WARN,
                    turns.getLast().path("skew_norm_module").asString(""),
                    turns.getLast().path("skew_norm").doubleValue(), Geometry.REMEDY));
        List<JsonNode> valid = m.with("valid_loss");
        double best = valid.stream().mapToDouble(n -> n.path("valid_loss").doubleValue()).min().orElse(Double.NaN);
        double end = valid.isEmpty() ? Double.NaN : valid.getLast().path("valid_loss").doubleValue();
        if (end > 1.1 * best)
            out.add(String.format(Locale.ROOT, "The validation loss rose from %.4f to %.4f before the end: fewer steps"
                    + " or a lower learning rate may do better; the checkpoint of the best step is kept.", best, end));
        JsonNode d = o.path("data");
        double truncated = d.path("truncated").asDouble(0) / Math.max(1, d.path("examples").asDouble(0));
        if (truncated > 0.05)
            out.add(String.format(Locale.ROOT, "%.0f %% of the training examples are cut off at train.seq_len.",
                    100 * truncated));
        if (d.path("dropped").asInt(0) > 0)
            out.add(d.path("dropped").asInt(0) + " training examples were dropped.");
        if (r != null) {
            Double before = r.before().forgetting();
            Double after = r.after().forgetting();
            if (before != null && after != null && after > before + 0.5)
                out.add(String.format(Locale.ROOT, "The loss on the base data rose from %.2f to %.2f: more of the base"
                        + " data among the training data, or a lower learning rate, forgets less.", before, after));
        }
        if (o.path("merge").path("relative").asDouble(0) > 1e-4)
            out.add("The merged model differs from base and adapter by more than rounding.");
        return out;
    }

    /// Whether a run lost what the base model knew, rather than a little of its sureness: exact answers tell, where the base
    /// model had any; else the perplexity.
    static boolean forgot(Results r) {
        Double loss = r.before().forgetting();
        Double lossAfter = r.after().forgetting();
        Double kept = r.before().kept();
        Double keptAfter = r.after().kept();
        if (kept != null && keptAfter != null && kept > 0.02)
            return keptAfter < kept - 0.02;
        return loss != null && lossAfter != null && Math.exp(lossAfter - loss) > 1.05;
    }

    private static String read(Path file) {
        try {
            return Files.exists(file) ? Files.readString(file) : "";
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }
}
