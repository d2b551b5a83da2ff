package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterSpec;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.llama.Llama;
import dev.gyre.trainer.config.AdapterConfig;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.config.RunConfig;
import java.nio.file.Path;
import java.util.List;

/// Turns configurations into runs: the walk from `run.yaml` to a prepared [TrainingRun].
public final class FineTuning {
    private FineTuning() {
    }

    /// A fine-tuning run: the base model, the adapter on it (or all weights), the data.
    public static TrainingRun open(RunConfig c, boolean resume, Backend backend, String version) {
        Path base = Path.of(c.model().path());
        Llama model;
        try (ModelDir dir = ModelDir.open(base)) {
            model = Llama.load(dir);
        }
        ModelText text = ModelText.of(base);
        return switch (c.adapter()) {
            case AdapterConfig.OnModules on -> {
                AdapterSpec spec = Adapters.spec(on, c.seed());
                Adapter adapter = Adapter.create(spec, model, c.seed());
                model.attach(adapter);
                yield TrainingRun.open(
                        new TrainingRun.Setup(c, c.data(), c.train(), c.eval(), c.output(), c.seed(), model,
                                false, text, List.of(base), to -> adapter.write(to, c.model().path()), "adapter",
                                version),
                        resume,
                        backend);
            }
            case AdapterConfig.Full _ -> TrainingRun.open(
                    new TrainingRun.Setup(c, c.data(), c.train(), c.eval(), c.output(),
                            c.seed(), model, true, text, List.of(base), to -> writeLike(base, model, to), "model",
                            version),
                    resume,
                    backend);
        };
    }

    /// A run that trains a new model from random weights.
    public static TrainingRun open(PretrainConfig c, boolean resume, Backend backend, String version) {
        ModelText text = ModelText.named(c.model().tokenizer());
        Llama model = Llama.random(text.shape(c.model()), c.seed());
        TensorType type = switch (c.model().dtype()) {
            case F32 -> TensorType.F32;
            case BF16 -> TensorType.BF16;
            case F16 -> TensorType.F16;
        };
        return TrainingRun
                .open(new TrainingRun.Setup(c, c.data(), c.train(), c.eval(), c.output(), c.seed(), model, true,
                        text, text.files(), to -> writeNew(model, text, type, to), "model", version), resume, backend);
    }

    private static void writeLike(Path base, Llama model, Path to) {
        try (ModelDir source = ModelDir.open(base)) {
            ModelDirWriter w = ModelDirWriter.like(source);
            model.weights().forEach((name, data) -> w.tensor(name, source.originalType(name), () -> f32(name, data),
                    shape(model, name)));
            w.write(to);
        }
    }

    private static void writeNew(Llama model, ModelText text, TensorType type, Path to) {
        ModelDirWriter w = ModelDirWriter.of(model.config());
        model.weights().forEach((name, data) -> w.tensor(name, type, () -> f32(name, data), shape(model, name)));
        text.addTo(w);
        w.write(to);
    }

    private static long[] shape(Llama model, String name) {
        return java.util.Arrays.stream(model.dims(name)).asLongStream().toArray();
    }

    private static float[] f32(String name, HostData data) {
        if (data instanceof HostData.F32 f)
            return f.values;
        throw new IllegalStateException(name + " was not trained");
    }
}
