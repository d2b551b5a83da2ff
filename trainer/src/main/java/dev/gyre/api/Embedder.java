package dev.gyre.api;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.task.TaskUse;
import java.nio.file.Path;
import java.util.List;

/// A model that makes a vector of a text, as `gyre embed` uses it; texts of like meaning have vectors of like direction.
///
/// ```java
/// try (Embedder model = Embedder.load(Path.of("models/all-minilm-l6-v2"))) {
///     List<float[]> v = model.embed(List.of("a cat", "two dogs"));
///     float similarity = Embedder.cosine(v.get(0), v.get(1));
/// }
/// ```
///
/// An object is not thread-safe. Each call lays out memory for its own texts, so many texts in one call are faster than one
/// by one.
public final class Embedder implements AutoCloseable {
    private final TaskUse use;

    private Embedder(TaskUse use) {
        this.use = use;
    }

    /// Reads a model, to compute on the CPU.
    ///
    /// @param model a Hugging Face or sentence-transformers model directory, or the name of one in the hub's cache
    ///        ([Models#download]); or the run directory of a task of kind `pairs` or `similarity`
    /// @return the model
    /// @throws dev.gyre.kernels.GyreException if it is no such model, or has another head ([Classifier])
    public static Embedder load(Path model) {
        return load(model, List.of(), "cpu");
    }

    /// Reads a model with adapters on it, to compute on a device.
    ///
    /// @param model a model directory, the name of one in the hub's cache, or a run directory
    /// @param adapters in PEFT layout, or run directories for theirs, the first nearest to the input; beside that of a run
    /// @param device `cpu`, `cpu:THREADS`, or a TornadoVM device: `opencl:0`, `cuda:0`, `ptx:0`, `jvm`
    /// @return the model
    /// @throws dev.gyre.kernels.GyreException if it is no such model, or has another head ([Classifier])
    public static Embedder load(Path model, List<Path> adapters, String device) {
        TaskUse use = TaskUse.open(model, adapters, null, Devices.open(device).backend(), _ -> {
        });
        if (use.embeds() && !use.readsImages())
            return new Embedder(use);
        use.close();
        throw new InputException(model + (use.readsImages() ? " reads images" : " has a head for other answers")
                + " and gives no embeddings of texts; give a model without a head, or take Classifier");
    }

    /// Values of a vector.
    ///
    /// @return the model's width
    public int width() {
        return use.model().config().hiddenSize();
    }

    /// Vectors of texts, pooled as the model's files say (`1_Pooling`), the mean where they say nothing.
    ///
    /// @param texts any number of them; what is longer than the model takes (`max_seq_length` of sentence-transformers, else
    ///        its positions) is cut
    /// @return for each text, in their order, a new array of [#width] values and of length 1
    public List<float[]> embed(List<String> texts) {
        return use.embed(texts);
    }

    /// How alike two vectors of [#embed] are.
    ///
    /// @param a of length 1
    /// @param b of length 1, and as wide
    /// @return the cosine of the angle between them, from -1 to 1
    public static float cosine(float[] a, float[] b) {
        if (a.length != b.length)
            throw new InputException("vectors of " + a.length + " and " + b.length + " values cannot be compared");
        float sum = 0;
        for (int i = 0; i < a.length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    /// Writes the model with its adapters folded into its weights, as transformers and sentence-transformers load it.
    ///
    /// @param to the directory to write, which must not exist or be empty
    /// @throws dev.gyre.kernels.GyreException if there is no adapter
    public void merge(Path to) {
        use.merge(to);
    }

    /// Closes the model's files.
    @Override
    public void close() {
        use.close();
    }
}
