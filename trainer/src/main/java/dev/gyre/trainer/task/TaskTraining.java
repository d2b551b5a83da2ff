package dev.gyre.trainer.task;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.GyreException;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.Tuning;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.files.Json;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.task.TaskModel;
import dev.gyre.model.task.TaskPlan;
import dev.gyre.model.task.TaskSession;
import dev.gyre.model.task.TaskShape;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.loop.Validation;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.plan.RunPlan;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.run.Training;
import dev.gyre.trainer.run.TrainingRun;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.function.LongToDoubleFunction;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// A model with a head, trained on examples with labels: from `run.yaml` with a section `task` to the adapter (or model)
/// with its scores.
public final class TaskTraining implements Training<TaskBatch> {
    private static final String SCORES = "task.json";

    private final TaskRunConfig c;
    private final List<String> names;
    private final TaskDir dir;
    private final TaskModel model;
    private final @Nullable Adapter adapter;
    private final @Nullable Tokenizer tokenizer;
    private final TaskData train;
    private final @Nullable TaskData valid;
    private final List<Integer> lengths;
    private final TaskStream batches;
    private final long steps;
    private @Nullable TaskScores before;

    /// Reads everything that a run needs before its first step.
    public TaskTraining(TaskRunConfig c, Backend backend) {
        this.c = c;
        Path from = c.model().directory();
        TaskReader.Sets sets = TaskReader.sets(c.task(), c.data(), c.seed());
        this.names = c.task().labels().isEmpty() ? TaskReader.names(sets.all()) : c.task().labels();
        this.dir = TaskDir.open(from, head(c.task().kind(), names));
        this.model = TaskModel.load(dir, c.adapter() instanceof Full ? Storage.AS_STORED
                : c.model().base(), c.seed());
        this.tokenizer = model.config().images() ? null : Tokenizers.load(from);
        int longest = Math.min(c.train().seqLen(), dir.longestText());
        this.lengths = lengths(longest);
        this.train = data(sets.train());
        this.valid = sets.valid() == null ? null : data(sets.valid());
        this.batches = new TaskStream(train, c.data().train(), c.train().microBatch(), c.data().flip(), c.seed());
        this.steps = stepsOf();
        this.adapter = c.adapter() instanceof AdapterOptions options ? adapted(options, model, backend) : null;
        if (adapter != null)
            model.attach(adapter.options().title(), adapter);
    }

    static TaskDir.NewHead head(TaskRunConfig.Kind kind, List<String> names) {
        return switch (kind) {
            case CLASS -> new TaskDir.NewHead(Problem.CLASSES, false, atLeast(2, names));
            case LABELS -> new TaskDir.NewHead(Problem.LABELS, false, atLeast(1, names));
            case TOKENS -> new TaskDir.NewHead(Problem.CLASSES, true, atLeast(2, names));
            case NUMBER -> new TaskDir.NewHead(Problem.NUMBERS, false, List.of("number"));
            case PAIRS, SIMILARITY -> new TaskDir.NewHead(Problem.EMBEDDING, false, List.of());
        };
    }

    private static List<String> atLeast(int n, List<String> names) {
        if (names.size() < n)
            throw new ConfigException("data.train has " + names.size() + " label; there is nothing to tell apart");
        return names;
    }

    /// Lengths of rows, in ascending order.
    private List<Integer> lengths(int longest) {
        return Stream.concat(c.train().buckets().stream().filter(b -> b < longest), Stream.of(longest)).toList();
    }

    private TaskData data(List<TaskExample> examples) {
        return new TaskData(model.config(), c.task().kind(), names, lengths, tokenizer, dir, examples);
    }

    private long stepsOf() {
        RunConfig.Train t = c.train();
        Double epochs = t.epochs();
        long steps = t.steps() != null ? t.steps()
                : (long) Math.ceil((epochs == null ? 1 : epochs) * train.size() / ((double) t.microBatch()
                        * t.accumulate()));
        if (t.warmup() >= steps)
            throw new ConfigException("train.warmup " + t.warmup() + " is as long as the run or longer: " + steps
                    + " steps; lower train.warmup or train longer");
        return steps;
    }

    /// With what of the head is new, and its last layer, trained and saved whole, as PEFT does.
    private Adapter adapted(AdapterOptions options, TaskModel on, Backend backend) {
        Targets t = options.targets();
        AdapterOptions own = options;
        if (t.modulesToSave().isEmpty() && !model.headModules().isEmpty())
            own = options.with(t.saving(modules().toArray(String[]::new)));
        return Adapter.create(own.inRun(c.seed(), steps), on, c.seed(),
                new BaseWeights(on, backend, (_, _, _, _) -> {
                }));
    }

    /// Module names as PEFT's `modules_to_save` has them: the first name of each path below the body.
    private Set<String> modules() {
        Set<String> out = new LinkedHashSet<>();
        for (String path : model.headModules())
            out.add(path.contains(".") && !path.startsWith("classifier") ? path : path.split("\\.")[0]);
        return out;
    }

    public TaskModel model() {
        return model;
    }

    public @Nullable Adapter adapter() {
        return adapter;
    }

    /// Names of the classes or labels.
    public List<String> names() {
        return names;
    }

    @Override
    public TaskRunConfig config() {
        return c;
    }

    @Override
    public BatchStream<TaskBatch> batches() {
        return batches;
    }

    @Override
    public long steps() {
        return steps;
    }

    /// Tokens of each row of the training examples, in ascending order; none of images.
    int[] tokens() {
        return train.tokens();
    }

    /// Whether the model gives embeddings as its files have it, without a task.
    static boolean embeds(Path model) {
        return TaskDir.is(model) && Files.isRegularFile(model.resolve("modules.json"));
    }

    public int trainExamples() {
        return train.size();
    }

    /// Tokens of the longest rows.
    public int longest() {
        return lengths.getLast();
    }

    /// Held-out examples; 0 without any.
    public int validExamples() {
        return valid == null ? 0 : valid.size();
    }

    @Override
    public List<String> notes() {
        List<String> notes = new ArrayList<>(dir.warnings());
        model.adapters().forEach(a -> notes.addAll(a.remarks()));
        if (!model.config().images() && dir.longestText() < c.train().seqLen())
            notes.add("texts are cut at " + dir.longestText() + " tokens, the most that the model in " + dir.directory()
                    + " takes, not at train.seq_len " + c.train().seqLen());
        return notes;
    }

    @Override
    public List<Path> inputs() {
        return List.of(c.model().directory());
    }

    @Override
    public List<Path> examples() {
        Path file = c.data().validFile();
        return file == null ? List.of(Path.of(c.data().train())) : List.of(Path.of(c.data().train()), file);
    }

    private List<TaskShape> shapes() {
        return TaskData.shapes(model.config(), c.task().kind(), lengths, c.train().microBatch());
    }

    private boolean full() {
        return c.adapter() instanceof Full;
    }

    private boolean similarity() {
        return c.task().kind() == TaskRunConfig.Kind.SIMILARITY;
    }

    @Override
    public Set<Use> uses() {
        Set<Use> uses = EnumSet.of(Use.TRAIN, Use.LOGITS);
        if (c.train().gradientCheckpointing())
            uses.add(Use.GRADIENT_CHECKPOINTING);
        return uses;
    }

    @Override
    public TaskSession session(Backend backend, Set<Use> uses, int accumulate) {
        return new TaskSession(model, backend, shapes(), full(), uses, c.seed(), similarity(), accumulate);
    }

    /// The programs of the run and their memory, before any of it is allocated.
    public TaskPlan plan() {
        return TaskPlan.of(model, shapes(), full(), uses(), similarity(), c.train().accumulate());
    }

    /// The run with other methods on the same modules, and over other bases.
    ///
    /// @param others one configuration of each method
    public List<Planned> sideBySide(List<Tuning> others, Backend backend) {
        List<Planned> out = new ArrayList<>();
        for (Storage base : List.of(Storage.F32, Storage.BF16, Storage.NF4, Storage.NF4_DOUBLE)) {
            TaskModel on;
            try {
                on = TaskModel.load(dir, base, c.seed());
            } catch (InputException e) {
                // weights in 4 bits stay so
                others.forEach(t -> out.add(new Planned(t.method(), base, null, e.getMessage())));
                continue;
            }
            for (Tuning t : others)
                if (base == Storage.F32 || !(t instanceof Full))
                    out.add(planned(t.getClass() == c.adapter().getClass() ? c.adapter() : t, base, on, backend));
        }
        return out;
    }

    /// A method over a base.
    ///
    /// @param plan null where it is not possible
    /// @param impossible and why
    public record Planned(String method, Storage base, @Nullable TaskPlan plan, @Nullable String impossible) {
    }

    private Planned planned(Tuning t, Storage base, TaskModel on, Backend backend) {
        try {
            TaskPlan plan = switch (t) {
                case AdapterOptions o -> TaskPlan.of(on, List.of(adapted(c.adapter() instanceof AdapterOptions own
                        ? o.with(own.targets()) : o, on, backend)), shapes(), uses(), similarity(),
                        c.train().accumulate());
                case Full _ -> TaskPlan.of(on, shapes(), true, uses(), similarity(), c.train().accumulate());
            };
            return new Planned(t.method(), base, plan, null);
        } catch (GyreException | ArithmeticException e) {
            return new Planned(t.method(), base, null, e.getMessage());
        }
    }

    @Override
    public @Nullable Validation validation(LearningSession<TaskBatch> session) {
        return valid == null ? null : _ -> {
            TaskEvaluation e = evaluate(session, valid);
            return new Validation.Measured(e.loss(), valid.size(), Map.of(), e.scores());
        };
    }

    private TaskEvaluation evaluate(LearningSession<TaskBatch> session, TaskData data) {
        if (!(session instanceof TaskSession s))
            throw new IllegalArgumentException("a session of another kind");
        return TaskEvaluation.of(s, model.config(), c.task().kind(), data, c.train().microBatch());
    }

    @Override
    public String folder() {
        return full() ? "model" : "adapter";
    }

    @Override
    public void write(Path to) {
        if (adapter != null)
            adapter.write(to, c.model().name());
        else
            dir.write(to, model.weights().keySet(), model::values);
    }

    @Override
    public long expectedPeak(LearningSession<TaskBatch> session) {
        return peak(session.plannedBytes(), session.trainableParameters());
    }

    /// Measures the model before the first step, or reads what was measured when the run began; null without validation.
    public @Nullable TaskScores begin(TrainingRun<TaskBatch> run) {
        Path file = run.dir().path().resolve(SCORES);
        before = run.from() > 0 && Files.isRegularFile(file) ? TaskScores.read(file, "before") : null;
        if (before == null && valid != null && run.from() == 0)
            before = TaskScores.of(evaluate(run.session(), valid));
        run.dir().write(SCORES, Json.pretty(described(before, null)));
        return before;
    }

    /// Measures the result of a run that is done, and writes scores, report and what is compared.
    ///
    /// @param backend of the run
    public Results end(TrainingRun<TaskBatch> run, Backend backend) {
        TaskEvaluation e = valid == null ? null : evaluate(run.session(), valid);
        TaskScores after = e == null ? null : TaskScores.of(e);
        run.dir().write(SCORES, Json.pretty(described(before, after)));
        if (valid != null && e != null)
            run.dir().write(Report.PAGE, TaskReport.html(c, names, valid, before, e, model.config()));
        return Results.write(c, run.dir().path(), Results.Training.of(run), backend, model.parameters(),
                scores(before), scores(after), model.adapters());
    }

    private static Results.Scores scores(@Nullable TaskScores s) {
        return s == null ? Results.Scores.of(null, null) : Results.Scores.of(s.loss(), s.scores());
    }

    /// Trains some steps and writes nothing.
    public TrainLoop.Result trial(Backend backend, int most, List<TrainListener> listeners) {
        try (TaskSession session = session(backend, uses(), c.train().accumulate())) {
            return new TrainLoop<>(session, batches, Math.min(most, steps), null, c.train()).listening(listeners)
                    .run();
        }
    }

    /// Trains exactly `steps` steps without validation, however often that takes the data, and writes nothing.
    ///
    /// @param lr learning rate of each
    /// @param stop asked after each step
    public TrainLoop.Result ramp(Backend backend, int steps, LongToDoubleFunction lr, List<TrainListener> listeners,
            BooleanSupplier stop) {
        try (TaskSession session = session(backend, uses(), c.train().accumulate())) {
            return new TrainLoop<>(session, batches, steps, null, c.train()).learningRate(lr).listening(listeners)
                    .stopping(stop).run();
        }
    }

    /// Memory that the process needs for the run with this many examples at once; a part of it is the JVM's own.
    ///
    /// @param longest tokens of the longest rows
    private long peak(int microBatch, int longest) {
        TaskPlan plan = TaskPlan.of(model,
                TaskData.shapes(model.config(), c.task().kind(), lengths(longest), microBatch), full(), uses(),
                similarity(), c.train().accumulate());
        return peak(plan.memory().bytes(), plan.trainable());
    }

    private long peak(long planned, int trainable) {
        long stored = full() ? model.weights().values().stream().mapToLong(HostData::bytes).sum() : 0;
        return stored + planned + MemoryEstimate.beside(trainable, train.bytes() + (valid == null ? 0 : valid.bytes()),
                Runtime.getRuntime().availableProcessors());
    }

    /// Memory that the process needs for the run.
    public long peak() {
        TaskPlan plan = plan();
        return peak(plan.memory().bytes(), plan.trainable());
    }

    /// The largest `train.micro_batch` whose run stays within so many bytes, at most the number of training examples; 0
    /// where not even one fits.
    public int largestBatch(long limit) {
        return RunPlan.largest(train.size(), n -> peak(n, longest()) <= limit);
    }

    /// The largest `train.seq_len` at the configured `micro_batch`, at most what the model takes; 0 where none fits, and for
    /// images.
    public int largestLength(long limit) {
        return model.config().images() ? 0
                : RunPlan.largest(dir.longestText(), n -> peak(c.train().microBatch(), n) <= limit);
    }

    private ObjectNode described(@Nullable TaskScores first, @Nullable TaskScores last) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.put("kind", c.task().kind().name().toLowerCase(Locale.ROOT));
        names.forEach(o.putArray("labels")::add);
        if (first != null)
            first.into(o.putObject("before"));
        if (last != null)
            last.into(o.putObject("after"));
        return o;
    }

    /// The configuration of the model that a run starts from.
    public TaskConfig modelConfig() {
        return model.config();
    }

    @Override
    public void close() {
        dir.close();
        if (tokenizer != null)
            tokenizer.close();
    }
}
