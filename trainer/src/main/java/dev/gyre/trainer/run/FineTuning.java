package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.record.RunDir;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.LongToDoubleFunction;

/// Fine-tuning: from `run.yaml` to the model with its adapter, to a [TrainingRun] or to some trial steps.
public final class FineTuning {
    private FineTuning() {
    }

    /// The run that a configuration describes, ready to train.
    ///
    /// @param resume go on with the run in the output directory
    public static TrainingRun<Batch> open(RunConfig c, boolean resume, Backend backend, String version) {
        RunDir.check(Path.of(c.output().dir()), resume);
        return TrainingRun.open(training(c, backend), resume, backend, version);
    }

    /// Model, adapter and examples of a run, read.
    public static LanguageTraining training(RunConfig c, Backend backend) {
        ModelText text = ModelText.load(c);
        RunData data = RunData.readAll(c, text);
        return new LanguageTraining(c, adapt(c, load(c, backend), text, data.steps(), backend), data);
    }

    /// The base model, its weights stored as the configuration says. For a device they stay in their files where they can: the
    /// host needs them in memory only for the first step's check on the CPU.
    public static Transformer load(RunConfig c, Backend backend) {
        try (ModelDir dir = ModelDir.open(c.model().directory())) {
            return c.adapter() instanceof Full ? Transformer.load(dir)
                    : Transformer.load(dir, c.model().base(), ModelRef.staysInFiles(backend));
        }
    }

    /// Puts what is to be trained on the model: a new adapter, or nothing where all weights are trained.
    ///
    /// @param steps of the whole run
    public static Trained adapt(RunConfig c, Transformer model, ModelText text, long steps, Backend backend) {
        Path base = c.model().directory();
        return switch (c.adapter()) {
            case AdapterOptions options -> {
                Adapter adapter;
                try (ModelDir dir = ModelDir.open(base)) {
                    // PSOFT's factors come from the weights as the files have them, before they are rounded
                    adapter = Adapter.create(options.inRun(c.seed(), steps), model, c.seed(), new BaseWeights(
                            Transformer.reading(dir), backend,
                            // a weight in F32, and the sessions of its decomposition
                            (module, captured, residual, gap) -> HeapTrim.collect()));
                }
                model.attach(adapter);
                yield new Trained.OnModel(model, adapter, text, base, c.model().name());
            }
            case Full _ -> new Trained.AllWeights(model, text, base);
        };
    }

    /// Trains the first steps of a run and leaves nothing on the disk.
    public static TrainLoop.Result trial(RunConfig c, Backend backend, int steps, List<TrainListener> listeners) {
        ModelText text = ModelText.load(c);
        RunData all = RunData.readAll(c, text);
        // a method's schedule is that of the whole run
        try (TrainSession session = session(c, c.train(), text, all.steps(), backend)) {
            return TrainLoop.of(session, all.first(steps), c.train()).listening(listeners).run();
        }
    }

    /// As [#trial], without validation.
    ///
    /// @param lr learning rate of each of exactly `steps` steps, however often that takes the data
    /// @param stop asked after each step
    static TrainLoop.Result ramp(RunConfig c, Backend backend, int steps, LongToDoubleFunction lr,
            List<TrainListener> listeners, BooleanSupplier stop) {
        ModelText text = ModelText.load(c);
        RunConfig ramp = c.with(c.train().withSteps(steps));
        RunData data = RunData.readAll(ramp, text).withoutValidation();
        try (TrainSession session = session(c, ramp.train(), text, data.batches().steps(c.train()), backend)) {
            return TrainLoop.of(session, data, ramp.train()).learningRate(lr).listening(listeners).stopping(stop)
                    .run();
        }
    }

    private static TrainSession session(RunConfig c, RunConfig.Train t, ModelText text, long steps, Backend backend) {
        HeapTrim.collectAll(); // what was planned and read before
        Trained trained = adapt(c, load(c, backend), text, steps, backend);
        HeapTrim.collect(); // what reading, rounding and decomposing the weights left behind
        TrainSession s = new TrainSession(trained.model(), backend, RunData.shapes(t), trained.full(), t.uses(),
                c.seed(), t.accumulate());
        HeapTrim.collect(); // the array that the trained parameters came in
        return s;
    }
}
