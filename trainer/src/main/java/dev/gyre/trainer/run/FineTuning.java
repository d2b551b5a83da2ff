package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterSpec;
import dev.gyre.model.adapter.PrincipalSubspace;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.AdapterConfig;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.loop.LrSchedule;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.loop.Trainable;
import dev.gyre.trainer.plan.HeapTrim;
import dev.gyre.trainer.record.RunDir;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.LongToDoubleFunction;
import org.jspecify.annotations.Nullable;

/// Turns configurations into runs: the walk from `run.yaml` to a prepared [TrainingRun].
public final class FineTuning {
    private static final PrincipalSubspace.Progress NOBODY = (module, captured, residual, gap) -> {
    };

    private FineTuning() {
    }

    /// A fine-tuning run: the base model, the adapter on it (or all weights), the data.
    public static TrainingRun open(RunConfig c, boolean resume, Backend backend, String version) {
        return open(c, resume, backend, version, NOBODY);
    }

    /// @param progress told about each principal subspace that PSOFT starts from
    public static TrainingRun open(RunConfig c, boolean resume, Backend backend, String version,
            PrincipalSubspace.Progress progress) {
        RunDir.check(Path.of(c.output().dir()), resume);
        Prepared p = prepare(c, backend, progress);
        return TrainingRun.open(new TrainingRun.Setup(c, c.data(), c.train(), c.eval(), c.output(), c.seed(),
                c.checkDevice(), p.model, p.full, p.text, List.of(Path.of(c.model().path())), p.export,
                p.full ? "model" : "adapter", version),
                resume, backend);
    }

    private record Prepared(Transformer model, boolean full, ModelText text, long seed, Consumer<Path> export) {
    }

    private static Prepared prepare(RunConfig c, Backend backend, PrincipalSubspace.Progress progress) {
        Path base = Path.of(c.model().path());
        ModelText text = ModelText.load(base);
        RunData.requireForgetting(c, text);
        return switch (c.adapter()) {
            case AdapterConfig.OnModules on -> {
                AdapterSpec spec = Adapters.spec(on, c.seed());
                Transformer model;
                Adapter adapter;
                try (ModelDir dir = ModelDir.open(base)) {
                    model = Transformer.load(dir, c.model().base());
                    // PSOFT's factors come from the weights as the files have them, before they are rounded
                    adapter = Adapter.create(spec, model, c.seed(),
                            new PrincipalSubspace(Transformer.reading(dir), backend,
                                    (module, captured, residual, gap) -> {
                                        HeapTrim.collect(); // a weight in F32, and the sessions of its decomposition
                                        progress.done(module, captured, residual, gap);
                                    }));
                }
                model.attach(adapter);
                yield new Prepared(model, false, text, c.seed(), to -> adapter.write(to, c.model().path()));
            }
            case AdapterConfig.Full _ -> {
                Transformer model;
                try (ModelDir dir = ModelDir.open(base)) {
                    model = Transformer.load(dir);
                }
                yield new Prepared(model, true, text, c.seed(), to -> writeLike(base, model, to));
            }
        };
    }

    /// Trains the first steps of a run and leaves nothing on the disk.
    public static TrainLoop.Result trial(RunConfig c, Backend backend, int steps, List<TrainListener> listeners) {
        Prepared p = prepare(c, backend, NOBODY);
        RunData data = RunData.read(c.data(), c.train(), c.eval(), c.seed(), p.text);
        long most = Math.min(steps, data.steps());
        return trial(p, backend, data, data.validation(), c.train(), LrSchedule.of(c.train(), most)::at, most,
                listeners, () -> false);
    }

    /// As [#trial], without validation.
    ///
    /// @param lr learning rate of each of exactly `steps` steps, however often that takes the data
    /// @param stop asked after each step
    static TrainLoop.Result ramp(RunConfig c, Backend backend, int steps, LongToDoubleFunction lr,
            List<TrainListener> listeners, BooleanSupplier stop) {
        Prepared p = prepare(c, backend, NOBODY);
        RunConfig.Train t = c.train().withSteps(steps);
        RunData data = RunData.read(c.data(), t, c.eval(), c.seed(), p.text);
        return trial(p, backend, data, List.of(), t, lr, steps, listeners, stop);
    }

    private static TrainLoop.Result trial(Prepared p, Backend backend, RunData data, List<Batches.Micro> validation,
            RunConfig.Train t, LongToDoubleFunction lr, long steps, List<TrainListener> listeners,
            BooleanSupplier stop) {
        try (TrainSession session =
                new TrainSession(p.model, backend, RunData.shapes(t), p.full, TrainingRun.uses(t), p.seed)) {
            return new TrainLoop(Trainable.of(session), data.batches(), validation, Map.of(), t, lr, steps, 0, 0,
                    new TrainLoop.Saver() {
                        @Override
                        public int every() {
                            return 0;
                        }

                        @Override
                        public @Nullable Path save(Checkpoint checkpoint) {
                            return null;
                        }
                    }, listeners, stop).run();
        }
    }

    /// A run that trains a new model from random weights.
    public static TrainingRun open(PretrainConfig c, boolean resume, Backend backend, String version) {
        RunDir.check(Path.of(c.output().dir()), resume);
        boolean bytes = c.model().tokenizer().equals("bytes");
        Path tokenizer = Path.of(c.model().tokenizer());
        ModelText text = bytes ? ModelText.bytes() : ModelText.load(tokenizer);
        Transformer model = Transformer.random(shape(c.model(), text), c.seed());
        TensorType type = switch (c.model().dtype()) {
            case F32 -> TensorType.F32;
            case BF16 -> TensorType.BF16;
            case F16 -> TensorType.F16;
        };
        return TrainingRun
                .open(new TrainingRun.Setup(c, c.data(), c.train(), c.eval(), c.output(), c.seed(), c.checkDevice(),
                        model, true,
                        text, bytes ? List.of() : List.of(tokenizer),
                        to -> writeNew(model, bytes ? null : tokenizer, text, type, to), "model", version), resume,
                        backend);
    }

    private static void writeLike(Path base, Transformer model, Path to) {
        try (ModelDir source = ModelDir.open(base)) {
            ModelDirWriter w = ModelDirWriter.like(source);
            model.weights().forEach((name, data) -> w.tensor(name, source.originalType(name), () -> f32(name, data),
                    shape(model, name)));
            w.write(to);
        }
    }

    private static ModelConfig shape(PretrainConfig.Model m, ModelText text) {
        Tokenizer t = text.tokenizer();
        // rows of the embedding that no token uses keep the output layer's width even
        int vocabulary = (t.vocabSize() + 3) / 4 * 4;
        return ModelConfig.llama(vocabulary, Objects.requireNonNull(m.hiddenSize()),
                Objects.requireNonNull(m.intermediateSize()), Objects.requireNonNull(m.layers()),
                Objects.requireNonNull(m.heads()), Objects.requireNonNull(m.kvHeads()),
                Objects.requireNonNull(m.context()),
                m.tieEmbeddings(), t.bosId() < 0 ? null : t.bosId(), t.eosId() < 0 ? List.of() : List.of(t.eosId()),
                t.padId() < 0 ? null : t.padId());
    }

    private static void writeNew(Transformer model, @Nullable Path tokenizer, ModelText text, TensorType type,
            Path to) {
        ModelDirWriter w = ModelDirWriter.of(model.config());
        model.weights().forEach((name, data) -> w.tensor(name, type, () -> f32(name, data), shape(model, name)));
        text.files().forEach(w::file);
        if (tokenizer != null)
            w.filesFrom(tokenizer);
        w.write(to);
    }

    private static long[] shape(Transformer model, String name) {
        return java.util.Arrays.stream(model.dims(name)).asLongStream().toArray();
    }

    private static float[] f32(String name, HostData data) {
        if (data instanceof HostData.F32 f)
            return f.values;
        throw new IllegalStateException(name + " was not trained");
    }
}
