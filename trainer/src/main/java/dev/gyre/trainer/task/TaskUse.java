package dev.gyre.trainer.task;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.family.Bert;
import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.onnx.OnnxBert;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.task.TaskMerge;
import dev.gyre.model.task.TaskModel;
import dev.gyre.model.task.TaskSession;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.report.Report;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/// A finished model with a head in use: it classifies, labels, rates or embeds texts and images.
public final class TaskUse implements AutoCloseable {
    /// Examples of a batch.
    private static final int BATCH = 8;
    /// Rows have lengths that are multiples of this.
    private static final int ROUND = 16;

    private final TaskDir dir;
    private final TaskModel model;
    private final TaskRunConfig.Kind kind;
    private final List<String> names;
    private final @Nullable Tokenizer tokenizer;
    private final TaskRunConfig.Data columns;
    private final Backend backend;
    private final Storage held;

    /// What the model says about one text or image.
    ///
    /// @param label the likeliest class, the labels that are present with commas between them, or the number as text
    /// @param scores probability of each class or label by its name; `number` for a number
    public record Answer(String label, Map<String, Double> scores) {
    }

    private TaskUse(TaskDir dir, TaskModel model, TaskRunConfig.Kind kind, List<String> names,
            TaskRunConfig.Data columns, Backend backend, Storage held) {
        this.dir = dir;
        this.model = model;
        this.kind = kind;
        this.names = names;
        this.columns = columns;
        this.backend = backend;
        this.held = held;
        this.tokenizer = model.config().images() ? null : Tokenizers.load(dir.directory());
    }

    /// Whether a path is a model with a head, or the run directory of one.
    public static boolean is(Path given) {
        Path found = Hub.directory(given);
        return isRun(found) || TaskDir.is(found);
    }

    private static boolean isRun(Path given) {
        Path file = given.resolve("run.yaml");
        return Files.isRegularFile(file) && ConfigReader.has(file, "task");
    }

    /// @param named a model directory, the run directory of a task, or a name of the Hugging Face hub
    /// @param adapters adapter directories, or run directories for their results
    /// @param storage how the base model's weights are held; null for a run's own, or as stored
    /// @param warnings gets each warning about the files
    public static TaskUse open(Path named, List<Path> adapters, @Nullable Storage storage, Backend backend,
            Consumer<String> warnings) {
        Path given = Hub.directory(named);
        List<Path> all = new ArrayList<>();
        Path from = given;
        Storage held = storage == null ? Storage.AS_STORED : storage;
        TaskRunConfig.Data columns = new TaskRunConfig.Data("", null, "text", null, "label", false);
        TaskRunConfig.Kind kind = null;
        TaskDir.NewHead head = null;
        List<String> names = List.of();
        if (isRun(given)) {
            TaskRunConfig c = ConfigReader.read(given.resolve("run.yaml"), TaskRunConfig.class, List.of());
            Path said = given.resolve("task.json");
            if (!Files.isRegularFile(said) || !Files.isDirectory(given.resolve("model"))
                    && !Files.isDirectory(given.resolve("adapter")))
                throw new FormatException(given, "has no result yet: the run is not finished");
            List<String> labels = new ArrayList<>();
            Json.readObject(said).path("labels").forEach(l -> labels.add(l.asString()));
            names = labels;
            columns = c.data();
            kind = c.task().kind();
            if (Files.isDirectory(given.resolve("model")))
                from = given.resolve("model");
            else {
                from = c.model().directory();
                if (storage == null)
                    held = c.model().base();
                head = TaskTraining.head(kind, names);
                all.add(given.resolve("adapter"));
            }
        }
        for (Path a : adapters)
            all.add(isRun(a) ? a.resolve("adapter") : Hub.directory(a));
        TaskDir dir = TaskDir.open(from, head);
        dir.warnings().forEach(warnings);
        TaskModel model = TaskModel.load(dir, held, 0);
        for (int i = 0; i < all.size(); i++) {
            Adapter adapter = Adapter.read(all.get(i), model);
            adapter.warnings().forEach(warnings);
            model.attach(i + " " + all.get(i), adapter);
        }
        if (kind == null) {
            kind = kind(model.config().head());
            names = labels(model);
        }
        return new TaskUse(dir, model, kind, names, columns, backend, held);
    }

    private static TaskRunConfig.Kind kind(Head head) {
        return switch (head.problem()) {
            case CLASSES -> head.pooling() == Pooling.TOKENS ? TaskRunConfig.Kind.TOKENS : TaskRunConfig.Kind.CLASS;
            case LABELS -> TaskRunConfig.Kind.LABELS;
            case NUMBERS -> TaskRunConfig.Kind.NUMBER;
            case EMBEDDING -> TaskRunConfig.Kind.PAIRS;
        };
    }

    /// `id2label` of config.json, or LABEL_0, LABEL_1, ...
    private static List<String> labels(TaskModel model) {
        JsonNode said = model.config().json().path("id2label");
        List<String> out = new ArrayList<>();
        for (int i = 0; i < model.config().head().outputs(); i++)
            out.add(said.path(Integer.toString(i)).asString("LABEL_" + i));
        return model.config().head().problem() == Problem.EMBEDDING ? List.of() : out;
    }

    public TaskModel model() {
        return model;
    }

    public List<String> labels() {
        return List.copyOf(names);
    }

    /// Whether the model gives embeddings.
    public boolean embeds() {
        return model.config().head().problem() == Problem.EMBEDDING;
    }

    /// Whether the model reads images.
    public boolean readsImages() {
        return model.config().images();
    }

    /// What the model says about texts, each one text or a pair.
    public List<Answer> classify(List<List<String>> texts) {
        return answers(texts.stream().map(t -> TaskExample.text(t, List.of(), Float.NaN)).toList());
    }

    /// What the model says about images.
    public List<Answer> classifyImages(List<Path> files) {
        return answers(files.stream().map(f -> new TaskExample(List.of(), List.of(), Float.NaN, f, null)).toList());
    }

    /// @throws InputException unless the model says something about whole texts or images
    public void requireClassifies() {
        if (embeds() || kind == TaskRunConfig.Kind.TOKENS)
            throw new InputException("the model " + (embeds() ? "gives embeddings: use gyre embed"
                    : "labels each word; gyre classify takes models that classify whole texts"));
    }

    private List<Answer> answers(List<TaskExample> examples) {
        requireClassifies();
        float[] out = outputs(examples);
        int V = model.config().head().outputs();
        List<Answer> answers = new ArrayList<>();
        for (int i = 0; i < examples.size(); i++)
            answers.add(answer(out, i * V, V));
        return answers;
    }

    private Answer answer(float[] out, int at, int V) {
        Map<String, Double> scores = new LinkedHashMap<>();
        if (kind == TaskRunConfig.Kind.NUMBER) {
            for (int v = 0; v < V; v++)
                scores.put(V == 1 ? "number" : names.get(v), (double) out[at + v]);
            return new Answer(String.valueOf(out[at]), scores);
        }
        if (kind == TaskRunConfig.Kind.LABELS) {
            List<String> there = new ArrayList<>();
            for (int v = 0; v < V; v++) {
                scores.put(names.get(v), 1 / (1 + Math.exp(-out[at + v])));
                if (out[at + v] > 0)
                    there.add(names.get(v));
            }
            return new Answer(String.join(", ", there), scores);
        }
        double sum = 0;
        int best = Scores.best(out, at, V);
        for (int v = 0; v < V; v++)
            sum += Math.exp(out[at + v] - out[at + best]);
        for (int v = 0; v < V; v++)
            scores.put(names.get(v), Math.exp(out[at + v] - out[at + best]) / sum);
        return new Answer(names.get(best), scores);
    }

    /// Embeddings of length 1, one for each text.
    public List<float[]> embed(List<String> texts) {
        if (!embeds())
            throw new InputException("the model has a head for " + kind.name().toLowerCase(Locale.ROOT)
                    + " and gives no embeddings");
        float[] out = outputs(texts.stream().map(t -> TaskExample.text(List.of(t), List.of(), Float.NaN)).toList());
        int C = model.config().hiddenSize();
        List<float[]> all = new ArrayList<>();
        for (int i = 0; i < texts.size(); i++)
            all.add(Arrays.copyOfRange(out, i * C, (i + 1) * C));
        return all;
    }

    /// Loss and scores on the examples of a file, whose columns are those of the run, or `text` and `label`.
    public TaskEvaluation evaluate(Path file) {
        List<TaskExample> examples = TaskReader.read(file, new TaskRunConfig.Task(kind, names), columns);
        TaskData data = data(examples, kind);
        try (TaskSession s = session(data)) {
            return TaskEvaluation.of(s, model.config(), kind, data, BATCH);
        }
    }

    /// Writes the page of a finished run again.
    ///
    /// @return the page
    public static Path report(Path run, Backend backend, Consumer<String> warnings) {
        TaskRunConfig c = ConfigReader.read(run.resolve("run.yaml"), TaskRunConfig.class, List.of());
        Path page = run.resolve(Report.PAGE);
        if (c.data().valid() == null)
            throw new InputException(run + ": the run has no data.valid, so there is nothing to show of its result");
        try (TaskUse use = open(run, List.of(), null, backend, warnings)) {
            TaskData valid =
                    use.data(Objects.requireNonNull(TaskReader.sets(new TaskRunConfig.Task(use.kind, use.names),
                            c.data(), c.seed()).valid()), use.kind);
            try (TaskSession s = use.session(valid)) {
                TaskEvaluation e = TaskEvaluation.of(s, use.model.config(), use.kind, valid, BATCH);
                AtomicFiles.write(page, TaskReport.html(c, use.names, valid,
                        TaskScores.read(run.resolve("task.json"), "before"), e, use.model.config()));
            }
        }
        return page;
    }

    private float[] outputs(List<TaskExample> examples) {
        if (examples.isEmpty())
            return new float[0];
        int V = model.config().head().outputs();
        float[] out = new float[examples.size() * V];
        // one text each, whatever pairs were trained on
        TaskData data = data(examples, TaskRunConfig.Kind.CLASS);
        try (TaskSession s = session(data)) {
            for (int from = 0; from < examples.size(); from += BATCH) {
                List<Integer> which = new ArrayList<>();
                for (int i = from; i < Math.min(examples.size(), from + BATCH); i++)
                    which.add(i);
                System.arraycopy(s.logits(data.batch(which, BATCH)), 0, out, from * V, which.size() * V);
            }
        }
        return out;
    }

    private TaskData data(List<TaskExample> examples, TaskRunConfig.Kind as) {
        int most = dir.longestText();
        Set<Integer> lengths = new TreeSet<>();
        for (int l = ROUND; l < most; l *= 2)
            lengths.add(l);
        lengths.add(most);
        return new TaskData(model.config(), as, names, List.copyOf(lengths), tokenizer, dir, examples);
    }

    private TaskSession session(TaskData data) {
        return new TaskSession(model, backend,
                TaskData.shapes(model.config(), data.kind(), data.used(), BATCH), false, Set.of(Use.LOGITS), 0);
    }

    /// Writes the model with its adapters folded into the weights.
    ///
    /// @return number of weights that changed
    public int merge(Path out) {
        Set<String> changed = TaskMerge.changed(model);
        if (changed.isEmpty())
            throw new InputException("nothing to merge: give --adapter DIR, or a run directory as MODEL");
        dir.write(out, changed, name -> changed.contains(name) ? TaskMerge.weight(model, backend, name)
                : model.values(name));
        return changed.size();
    }

    /// What taking adapters out of a model did.
    ///
    /// @param growth how much rounding errors of merged weights may have grown in the others, at least 1
    /// @param left tensors that the adapters had replaced and that stay as they are: those of a head
    public record Undone(int weights, double growth, List<String> left) {
    }

    /// Writes the model without the adapters that were merged into it; what they brought whole, a head, stays.
    public Undone unmerge(Path out) {
        Set<String> restored = TaskMerge.restorable(model);
        List<String> left = TaskMerge.changed(model).stream().filter(n -> !restored.contains(n)).sorted().toList();
        double[] growth = {1};
        dir.write(out, restored, name -> {
            Merge.Unmerged w = TaskMerge.unmerge(model, backend, name);
            growth[0] = Math.max(growth[0], w.growth());
            return w.values();
        });
        return new Undone(restored.size(), growth[0], left);
    }

    /// What a merge into an ONNX graph did.
    ///
    /// @param weights number of tensors of the graph that were written anew
    /// @param left tensors that the adapters changed and the graph does not have: those of a head
    public record IntoGraph(int weights, List<String> left) {
    }

    /// Writes an ONNX graph of the same model again, with the adapters folded into its weights; a model that was trained
    /// whole brings all of its own. Everything else in the file stays as it is.
    public IntoGraph merge(Path onnx, Path out) {
        AtomicFiles.requireNewFile(out);
        OnnxBert graph = OnnxBert.read(onnx);
        if (!(model.config() instanceof TaskConfig.OfEncoder(EncoderConfig e))
                || !(e.family() instanceof Bert))
            throw new InputException(dir.directory() + " is no BERT, and the graph " + onnx + " is one");
        for (String key : List.of("num_hidden_layers", "num_attention_heads", "hidden_act", "layer_norm_eps"))
            if (!graph.config().path(key).equals(model.config().json().path(key)))
                throw other(onnx, key + " is " + graph.config().path(key) + " there and "
                        + model.config().json().path(key) + " here");
        Map<String, String> names = new LinkedHashMap<>();
        for (String t : graph.tensors()) {
            String own = e.prefix() + t;
            if (model.weights().containsKey(own)) {
                names.put(t, own);
                if (!Arrays.equals(model.dims(own), graph.shape(t)))
                    throw other(onnx, own + " is " + Arrays.toString(graph.shape(t)) + " there and "
                            + Arrays.toString(model.dims(own)) + " here");
            }
        }
        Set<String> changed = TaskMerge.changed(model);
        if (!changed.isEmpty())
            names.forEach((t, own) -> {
                if (dir.contains(own) && !Arrays.equals(graph.values(t), decoded(dir.weight(own, false))))
                    throw other(onnx, own + " has other values");
            });
        // weights in 4 bits are others than those that the graph holds, whether they were adapted or not
        boolean all = changed.isEmpty() || held != Storage.AS_STORED && held != Storage.F32;
        Set<String> written = new LinkedHashSet<>();
        names.forEach((t, own) -> {
            if (all || changed.contains(own))
                written.add(t);
        });
        graph.write(out, written, t -> {
            String own = Objects.requireNonNull(names.get(t));
            return changed.contains(own) ? TaskMerge.weight(model, backend, own) : model.values(own);
        });
        return new IntoGraph(written.size(),
                changed.stream().filter(c -> !names.containsValue(c)).sorted().toList());
    }

    private static float[] decoded(HostData w) {
        return w.decode(0, Math.toIntExact(w.size()));
    }

    private InputException other(Path onnx, String difference) {
        return new InputException(onnx + " is of another model than " + dir.directory() + ": " + difference
                + "; give the graph that the model was imported from");
    }

    @Override
    public void close() {
        dir.close();
        if (tokenizer != null)
            tokenizer.close();
    }
}
