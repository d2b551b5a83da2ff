package dev.gyre.trainer.report;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TuningSettings;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.DataSets;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.measure.Evaluation;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.measure.ProcessMemory;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.run.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.PropertyNamingStrategies;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// `results.json`: what a finished run cost and what it achieved: the measurements by which methods are compared.
///
/// @param base how the frozen weights were stored
/// @param steps optimiser steps done, fewer than planned where the run stopped early
/// @param trained trainable parameters
/// @param parameters of the base model
/// @param resultBytes the tensor files of the result
/// @param stepSeconds median over the second half of the steps, when code is compiled and caches are warm
/// @param tokensPerSecond places in the rows, padding included, over the same steps
/// @param rotation rotation metrics of the result; null where nothing rotates
public record Results(String method, String base, String model, String device, long steps, long trained,
        long parameters, long resultBytes, double stepSeconds, double tokensPerSecond, Memory memory, Scores before,
        Scores after, @Nullable Rotation rotation) {
    public static final String FILE = "results.json";

    private static final JsonMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();

    /// Bytes.
    ///
    /// @param planned weights, trainable parameters with gradients and moments, and activations, as known before the run
    /// @param process largest resident size of the process that trained, Java itself included; 0 where the system does
    /// not tell
    public record Memory(long planned, long weights, long trained, long activations, long process) {
    }

    /// How a model does on the run's data. What was not asked for is null.
    ///
    /// @param loss on all of `data.valid`, however `eval.batches` cut it on the way
    /// @param exact share of exact answers among the first `results.answers` tasks of `data.valid`
    /// @param tokens token accuracy on the same
    /// @param answered number of these tasks
    /// @param forgetting loss on `results.forgetting`
    /// @param kept share of exact answers among the first `results.answers` tasks of `results.forgetting`
    /// @param scores of a run with a task, by name: accuracy and others
    public record Scores(@Nullable Double loss, @Nullable Double exact, @Nullable Double tokens, int answered,
            @Nullable Double forgetting, @Nullable Double kept, @Nullable Map<String, Double> scores) {
        /// Of a run with a task.
        public static Scores of(@Nullable Double loss, @Nullable Map<String, Double> scores) {
            return new Scores(loss, null, null, 0, null, null, scores);
        }

        public @Nullable Double perplexity() {
            return loss == null ? null : Math.exp(loss);
        }
    }

    /// The largest over all modules.
    ///
    /// @param skewNorm spectral norm of Q
    /// @param angle degrees
    /// @param defect of orthogonality, `||R^T R - I||`
    public record Rotation(double skewNorm, double angle, double defect) {
    }

    /// What is known of a run while its session is open; take it at the end, then close the run to free its memory.
    public record Training(long steps, long trained, Memory memory) {
        /// With the peak of this process if it took a step, else of the process that trained the run before.
        public static Training of(TrainingRun<?> run) {
            Results before = run.from() < run.done() ? null : readIfSound(run.dir().path());
            long process = run.from() < run.done() ? ProcessMemory.peakResident()
                    : before == null ? 0 : before.memory().process();
            Map<Role, Long> by = run.session().bytesByRole();
            long trained = by.getOrDefault(Role.PARAM, 0L) + by.getOrDefault(Role.GRAD, 0L)
                    + by.getOrDefault(Role.STATE, 0L);
            return new Training(run.done(), run.session().trainableParameters(),
                    new Memory(run.session().plannedBytes(), by.getOrDefault(Role.WEIGHT, 0L), trained,
                            by.getOrDefault(Role.ACTIVATION, 0L), process));
        }
    }

    /// Measures the base model and the result of the finished run in `dir` on the run's data, and writes the file.
    public static Results measure(RunConfig c, Path dir, Training t, Backend backend) {
        Path base = c.model().directory();
        ModelText text = ModelText.load(c);
        // one model after the other: neither is reachable while the other is read
        Scores before = scores(c, new ModelRef(base, List.of(), c.model().base()).load(backend), text, backend);
        Transformer result = ModelRef.of(dir, List.of()).load(backend);
        long parameters = result.parameters();
        Scores after = scores(c, result, text, backend);
        return write(c, dir, t, backend, parameters, before, after, result.adapters());
    }

    /// Writes the file.
    ///
    /// @param parameters of the base model
    /// @param adapters of the result; none where all weights were trained
    public static Results write(TuningSettings c, Path dir, Training t, Backend backend, long parameters,
            Scores before, Scores after, List<Adapter> adapters) {
        List<Geometry> g = adapters.stream().flatMap(a -> a.modules().stream())
                .<Geometry>mapMulti((m, out) -> {
                    Geometry x = m.geometry();
                    if (x != null)
                        out.accept(x);
                }).toList();
        Rotation rotation = g.isEmpty() ? null
                : new Rotation(g.stream().mapToDouble(Geometry::skewNorm).max().orElseThrow(),
                        g.stream().mapToDouble(Geometry::angle).max().orElseThrow(),
                        g.stream().mapToDouble(Geometry::defect).max().orElseThrow());
        Metrics m = Metrics.read(dir.resolve("metrics.jsonl"));
        Results r = new Results(c.adapter().method(), c.model().base().name().toLowerCase(Locale.ROOT),
                c.model().path(), backend.describe(), t.steps, t.trained, parameters,
                tensorBytes(dir.resolve(c.adapter() instanceof Full ? "model" : "adapter")),
                m.medianStepSeconds(), m.tokensPerSecond(), t.memory, before, after, rotation);
        AtomicFiles.write(dir.resolve(FILE), Json.pretty(r.json()));
        return r;
    }

    ObjectNode json() {
        ObjectNode o = JSON.valueToTree(this);
        for (String side : List.of("before", "after"))
            if (o.path(side) instanceof ObjectNode scores && scores.path("scores").isNull())
                scores.remove("scores");
        return o;
    }

    /// The results of a run, or null when it has none (yet).
    public static @Nullable Results read(Path dir) {
        Path file = dir.resolve(FILE);
        if (!Files.exists(file))
            return null;
        try {
            ObjectNode o = Json.readMeasurements(file);
            // where nothing could be measured
            for (String key : List.of("step_seconds", "tokens_per_second"))
                if (o.path(key).isNull())
                    o.put(key, Double.NaN);
            Results r = JSON.treeToValue(o, Results.class);
            if (Stream.of(r.method, r.base, r.model, r.device, r.memory, r.before, r.after).anyMatch(Objects::isNull))
                throw new FormatException(file, "lacks parts");
            return r;
        } catch (JacksonException | FormatException e) {
            String why = e instanceof JacksonException x ? Json.reason(x) : String.valueOf(e.getMessage());
            throw new FormatException(file, "is damaged (" + why.replace(file + ": ", "")
                    + "); remove it and run gyre train --resume to measure again", e);
        }
    }

    /// As [#read], with null for damaged ones, which are measured again.
    static @Nullable Results readIfSound(Path dir) {
        try {
            return read(dir);
        } catch (FormatException e) {
            return null;
        }
    }

    private static Scores scores(RunConfig c, Transformer model, ModelText text, Backend backend) {
        Double loss = null;
        Double exact = null;
        Double tokens = null;
        int answered = 0;
        Double forgetting = null;
        Double kept = null;
        DataSets sets = new DataSets(c, text);
        TokenizedSet valid = sets.valid();
        int most = c.results().answers();
        if (valid != null) {
            loss = loss(c, model, backend, valid);
            Evaluation.Answers a = Evaluation.answers(model, backend, sets.validTasks(most), text);
            answered = a.all();
            if (answered > 0) {
                exact = a.share();
                tokens = a.tokenShare();
            }
        }
        DataFiles old = c.results().forgetting();
        if (old != null) {
            forgetting = loss(c, model, backend, sets.read(old));
            Evaluation.Answers a = Evaluation.answers(model, backend, sets.tasks(old, most), text);
            if (a.all() > 0)
                kept = a.share();
        }
        return new Scores(loss, exact, tokens, answered, forgetting, kept, null);
    }

    private static double loss(RunConfig c, Transformer model, Backend backend, TokenizedSet set) {
        return Evaluation.loss(model, backend,
                Batches.inOrder(set, c.train().microBatch(), c.train().seqLen(), c.data().packing(), 0)).loss();
    }

    private static long tensorBytes(Path dir) {
        try (Stream<Path> s = Files.list(dir)) {
            long n = 0;
            for (Path p : s.filter(x -> x.toString().endsWith(".safetensors")).toList())
                n += Files.size(p);
            return n;
        } catch (IOException e) {
            throw FormatException.unreadable(dir, e);
        }
    }
}
