package dev.gyre.api;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.task.TaskEvaluation;
import dev.gyre.trainer.task.TaskUse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A model that gives classes, labels or numbers to texts or images, as `gyre classify` and `gyre eval` use it.
///
/// ```java
/// Runs.train(Path.of("run.yaml"), RunOptions.DEFAULT);            // a run.yaml with a section task
/// try (Classifier reviews = Classifier.load(Path.of("runs/reviews"))) {
///     for (Classifier.Answer a : reviews.classify(List.of("a fine film", "two hours of my life")))
///         IO.println(a.label() + " " + a.scores());
/// }
/// ```
///
/// An object is not thread-safe. Each call lays out memory for its own texts, so many texts in one call are faster than one
/// by one.
public final class Classifier implements AutoCloseable {
    private final TaskUse use;

    private Classifier(TaskUse use) {
        this.use = use;
    }

    /// What the model says about one text, pair or image.
    ///
    /// @param label the likeliest class; the labels that are present with commas between them; or the number as text
    /// @param scores probability of each class or label, from 0 to 1, by its name in the model's order; of a model that gives
    ///        a number: `number`, which may be any
    public record Answer(String label, Map<String, Double> scores) {
        /// With an unmodifiable copy of the scores.
        public Answer {
            scores = Collections.unmodifiableMap(new LinkedHashMap<>(scores));
        }
    }

    /// Reads a model, to compute on the CPU.
    ///
    /// @param model a Hugging Face model directory with a head, or the name of one in the hub's cache
    ///        ([Models#download]); or the run directory of a task
    /// @return the model
    /// @throws dev.gyre.kernels.GyreException if it is no such model, or gives embeddings ([Embedder]) or a class to each word
    public static Classifier load(Path model) {
        return load(model, List.of(), "cpu");
    }

    /// Reads a model with adapters on it, to compute on a device.
    ///
    /// @param model a model directory, the name of one in the hub's cache, or the run directory of a task
    /// @param adapters in PEFT layout, or run directories for theirs, the first nearest to the input; beside that of a run
    /// @param device `cpu`, `cpu:THREADS`, or a TornadoVM device: `opencl:0`, `cuda:0`, `ptx:0`, `jvm`
    /// @return the model
    /// @throws dev.gyre.kernels.GyreException if it is no such model, or gives embeddings ([Embedder]) or a class to each word
    public static Classifier load(Path model, List<Path> adapters, String device) {
        TaskUse use = TaskUse.open(model, adapters, null, Devices.open(device).backend(), _ -> {
        });
        try {
            use.requireClassifies();
        } catch (InputException e) {
            use.close();
            throw e;
        }
        return new Classifier(use);
    }

    /// Names of the classes or labels.
    ///
    /// @return in the order of the model's outputs; of a model that gives a number: `number`
    public List<String> labels() {
        return use.labels();
    }

    /// What the model says about texts.
    ///
    /// @param texts any number of them; what is longer than the model's positions is cut
    /// @return an answer for each, in their order
    public List<Answer> classify(List<String> texts) {
        return answers(use.classify(texts.stream().map(List::of).toList()));
    }

    /// What a model of pairs says about pairs of texts.
    ///
    /// @param first first texts
    /// @param second the other text of each
    /// @return an answer for each pair, in their order
    public List<Answer> classifyPairs(List<String> first, List<String> second) {
        if (first.size() != second.size())
            throw new InputException("pairs of texts: there are " + first.size() + " first and " + second.size()
                    + " second ones");
        List<List<String>> pairs = new ArrayList<>();
        for (int i = 0; i < first.size(); i++)
            pairs.add(List.of(first.get(i), second.get(i)));
        return answers(use.classify(pairs));
    }

    /// What a vision model says about images.
    ///
    /// @param files PNG, JPEG, BMP or GIF
    /// @return an answer for each, in their order
    public List<Answer> classifyImages(List<Path> files) {
        return answers(use.classifyImages(files));
    }

    private static List<Answer> answers(List<TaskUse.Answer> all) {
        return all.stream().map(a -> new Answer(a.label(), a.scores())).toList();
    }

    /// Loss and scores on examples with labels.
    ///
    /// @param examples a file or folder that `data.valid` takes; its columns are called as in the run, else `text` and `label`
    /// @return the mean loss as `loss`, then the scores by name: `accuracy`, `f1`, ... ([tasks.md](../docs/tasks.md))
    public Map<String, Double> evaluate(Path examples) {
        TaskEvaluation e = use.evaluate(examples);
        Map<String, Double> out = new LinkedHashMap<>();
        out.put("loss", e.loss());
        out.putAll(e.scores());
        return out;
    }

    /// Writes the model with its adapters folded into its weights, as transformers loads it.
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
