package dev.gyre.trainer.run;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.data.ModelText;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What a run trains, and how it is written when it is done.
public sealed interface Trained {
    /// With the adapter, if there is one, attached.
    Transformer model();

    ModelText text();

    /// Files and folders that it was read from.
    List<Path> inputs();

    /// Whether all weights are trained, rather than an adapter.
    default boolean full() {
        return true;
    }

    /// Name of the result's folder in the run directory.
    default String folder() {
        return full() ? "model" : "adapter";
    }

    /// Writes the adapter or the model, as it is now, into a folder that does not exist yet.
    void write(Path to);

    /// An adapter on a frozen model; the result is a PEFT directory.
    ///
    /// @param base the model's directory
    /// @param name the model as the user named it, which PEFT's files repeat
    record OnModel(Transformer model, Adapter adapter, ModelText text, Path base, String name) implements Trained {
        @Override
        public List<Path> inputs() {
            return List.of(base);
        }

        @Override
        public boolean full() {
            return false;
        }

        @Override
        public void write(Path to) {
            adapter.write(to, name);
        }
    }

    /// All weights of a model; the result is a model directory with the types and the other files of `base`.
    record AllWeights(Transformer model, ModelText text, Path base) implements Trained {
        @Override
        public List<Path> inputs() {
            return List.of(base);
        }

        @Override
        public void write(Path to) {
            try (ModelDir source = ModelDir.open(base)) {
                ModelDirWriter w = ModelDirWriter.like(source);
                model.weights().forEach((name, data) -> w.tensor(name, source.originalType(name), () -> f32(name, data),
                        shape(model, name)));
                w.write(to);
            }
        }
    }

    /// A model from random weights; the result is a model directory.
    ///
    /// @param tokenizer folder of its tokenizer; null for bytes as tokens
    /// @param type of the weights in the files
    record NewModel(Transformer model, ModelText text, @Nullable Path tokenizer, TensorType type) implements Trained {
        @Override
        public List<Path> inputs() {
            return tokenizer == null ? List.of() : List.of(tokenizer);
        }

        @Override
        public void write(Path to) {
            ModelDirWriter w = ModelDirWriter.of(model.config());
            model.weights().forEach((name, data) -> w.tensor(name, type, () -> f32(name, data), shape(model, name)));
            text.files().forEach(w::file);
            if (tokenizer != null)
                w.filesFrom(tokenizer);
            w.write(to);
        }
    }

    private static long[] shape(Transformer model, String name) {
        return Arrays.stream(model.dims(name)).asLongStream().toArray();
    }

    private static float[] f32(String name, HostData data) {
        if (data instanceof HostData.F32 f)
            return f.values;
        throw new IllegalStateException(name + " was not trained");
    }
}
