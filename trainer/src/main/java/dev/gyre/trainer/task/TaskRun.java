package dev.gyre.trainer.task;

import dev.gyre.kernels.Backend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.Json;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.task.TaskModel;
import dev.gyre.model.task.TaskPlan;
import dev.gyre.model.task.TaskSession;
import dev.gyre.model.task.TaskSession.Use;
import dev.gyre.model.task.TaskShape;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.loop.LrSchedule;
import dev.gyre.trainer.loop.NumericException;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.record.MetricsLog;
import dev.gyre.trainer.record.Provenance;
import dev.gyre.trainer.record.RunDir;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// A run of a model with a head: from `run.yaml` with a section `task` to the adapter (or model) with its scores.
public final class TaskRun implements AutoCloseable {
    private final TaskRunConfig c;
    private final List<String> names;
    private final TaskDir dir;
    private final TaskModel model;
    private final @Nullable Adapter adapter;
    private final @Nullable Tokenizer tokenizer;
    private final TaskData train;
    private final @Nullable TaskData valid;
    private final List<Integer> lengths;
    private final long steps;

    /// Reads everything that a run needs before its first step.
    public TaskRun(TaskRunConfig c, Backend backend) {
        this.c = c;
        Path from = Path.of(c.model().path());
        List<TaskExample> examples = TaskReader.read(Path.of(c.data().train()), c.task(), c.data());
        this.names = c.task().labels().isEmpty() ? TaskReader.names(examples) : c.task().labels();
        this.dir = TaskDir.open(from, head(c.task().kind(), names));
        this.model = TaskModel.load(dir, c.adapter() instanceof Full ? Storage.AS_STORED
                : c.model().base(), c.seed());
        this.tokenizer = model.config().images() ? null : Tokenizers.load(from);
        int longest = Math.min(c.train().seqLen(), model.config().maxPositions());
        List<Integer> all = new ArrayList<>(c.train().buckets().stream().filter(b -> b < longest).toList());
        all.add(longest);
        this.lengths = List.copyOf(all);
        this.train = data(examples);
        this.valid = c.data().valid() == null ? null
                : data(TaskReader.read(Path.of(c.data().valid()), c.task(), c.data()));
        this.steps = stepsOf();
        this.adapter = c.adapter() instanceof AdapterOptions options ? adapted(options, backend) : null;
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

    private TaskData data(List<TaskExample> examples) {
        return new TaskData(model.config(), c.task().kind(), names, lengths, tokenizer, dir.directory(), examples);
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
    private Adapter adapted(AdapterOptions options, Backend backend) {
        Targets t = options.targets();
        AdapterOptions own = options;
        if (t.modulesToSave().isEmpty() && !model.headModules().isEmpty())
            own = options.with(t.saving(modules().toArray(String[]::new)));
        return Adapter.create(own.inRun(c.seed(), steps), model, c.seed(),
                new BaseWeights(model, backend, (_, _, _, _) -> {
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

    public long steps() {
        return steps;
    }

    public int examples() {
        return train.size();
    }

    public List<String> warnings() {
        return dir.warnings();
    }

    private List<TaskShape> shapes() {
        return TaskData.shapes(model.config(), c.task().kind(), lengths, c.train().microBatch());
    }

    private Set<Use> uses() {
        Set<Use> uses = EnumSet.of(Use.TRAIN, Use.LOGITS);
        if (c.train().gradientCheckpointing())
            uses.add(Use.GRADIENT_CHECKPOINTING);
        return uses;
    }

    /// Opens the session of the run.
    TaskSession session(Backend backend) {
        return new TaskSession(model, backend, shapes(), c.adapter() instanceof Full, uses(), c.seed(),
                c.task().kind() == TaskRunConfig.Kind.SIMILARITY);
    }

    /// The programs of the run and their memory, before any of it is allocated.
    public TaskPlan plan() {
        return TaskPlan.of(model, shapes(), c.adapter() instanceof Full, uses(),
                c.task().kind() == TaskRunConfig.Kind.SIMILARITY);
    }

    /// How a run ended.
    ///
    /// @param before scores before the first step, of a model without its new head trained; null without validation
    public record Outcome(Path dir, double loss, @Nullable TaskEvaluation before, @Nullable TaskEvaluation after) {
    }

    /// Trains and writes the run directory.
    ///
    /// @param version of Gyre
    /// @param progress gets a line for each of the steps that are logged, and for each evaluation
    public Outcome train(Backend backend, String version, Consumer<String> progress) {
        RunDir run = RunDir.create(Path.of(c.output().dir()));
        try (var _ = run.lock(); TaskSession session = session(backend)) {
            run.write("run.yaml", ConfigWriter.resolved(c));
            List<Path> inputs = new ArrayList<>(List.of(Path.of(c.model().path()), Path.of(c.data().train())));
            if (c.data().valid() != null)
                inputs.add(Path.of(c.data().valid()));
            Provenance.write(run, Provenance.describe(version, backend.describe(), inputs));
            run.write("program.txt", session.programs());
            TaskEvaluation before = valid == null ? null : evaluate(session, valid);
            double loss;
            try (MetricsLog log = new MetricsLog(run.metrics(), 0)) {
                loss = loop(session, log, progress, steps);
            }
            TaskEvaluation after = valid == null ? null : evaluate(session, valid);
            session.pull();
            Path result = run.path().resolve(adapter == null ? "model" : "adapter");
            if (adapter != null)
                adapter.write(result, c.model().path());
            else
                dir.write(result, model.weights().keySet(), model::values);
            run.write("task.json", Json.pretty(described(before, after)));
            if (valid != null && after != null)
                AtomicFiles.write(run.path().resolve("report.html"),
                        TaskReport.html(c, names, valid, before, after, model.config()));
            return new Outcome(run.path(), loss, before, after);
        }
    }

    /// Trains some steps and writes nothing; returns the loss of the last.
    public double trial(Backend backend, int most, Consumer<String> progress) {
        try (TaskSession session = session(backend)) {
            return loop(session, null, progress, Math.min(most, steps));
        }
    }

    private TaskEvaluation evaluate(TaskSession session, TaskData data) {
        return TaskEvaluation.of(session, model.config(), c.task().kind(), data, c.train().microBatch());
    }

    private double loop(TaskSession session, @Nullable MetricsLog log, Consumer<String> progress, long upTo) {
        RunConfig.Train t = c.train();
        LrSchedule lr = LrSchedule.of(t, steps);
        Examples next = new Examples();
        Random mirrored = c.data().flip() ? new Random(c.seed()) : null;
        double best = Double.POSITIVE_INFINITY;
        double loss = Double.NaN;
        for (long step = 1; step <= upTo; step++) {
            long start = System.nanoTime();
            List<List<Integer>> micros = new ArrayList<>();
            int counted = 0;
            for (int m = 0; m < t.accumulate(); m++) {
                micros.add(next.take(t.microBatch()));
                counted += train.counted(micros.getLast());
            }
            if (counted == 0)
                throw new ConfigException("step " + step + ": none of its examples has a label that counts");
            double sum = 0;
            long tokens = 0;
            for (List<Integer> which : micros) {
                TaskBatch b = train.batch(which, t.microBatch(), mirrored);
                double own = session.microBatch(b, 1f / counted);
                if (!Double.isFinite(own)) {
                    String op = session.culprit(b, 1f / counted);
                    throw new NumericException("step " + step + ": the loss is " + own
                            + (op == null ? "" : "; the first result that is not finite comes from " + op)
                            + "; lower train.lr");
                }
                sum += own;
                tokens += (long) b.B() * b.T();
            }
            double rate = lr.at(step);
            double norm = session.update(new AdamWStep(step, (float) rate, (float) t.beta1(), (float) t.beta2(),
                    (float) t.eps(), (float) t.weightDecay(), (float) t.clip()));
            if (!Double.isFinite(norm))
                throw new NumericException("step " + step + ": the gradient norm is " + norm + "; lower train.lr");
            loss = sum / counted;
            TrainListener.Step s = new TrainListener.Step(step, loss, norm, rate, counted, tokens,
                    (double) next.taken / train.size(), (System.nanoTime() - start) / 1e9);
            if (log != null)
                log.onStep(s);
            if (step % c.output().logEvery() == 0 || step == upTo || step == 1)
                progress.accept(String.format(Locale.ROOT,
                        "step %d/%d   loss %.4f   |grad| %.3f   lr %.2e   %.2f s", step, steps, loss, norm, rate,
                        s.seconds()));
            if (valid != null && log != null && c.eval().every() > 0 && step % c.eval().every() == 0 && step < upTo) {
                TaskEvaluation e = evaluate(session, valid);
                boolean better = e.loss() < best;
                best = Math.min(best, e.loss());
                log.onEvaluation(new TrainListener.Evaluation(step, e.loss(), valid.size(), better, 0, e.scores()));
                progress.accept("step " + step + "   " + text(e));
            }
        }
        return loss;
    }

    /// Loss and scores on one line.
    public static String text(TaskEvaluation e) {
        StringBuilder s = new StringBuilder(String.format(Locale.ROOT, "valid loss %.4f", e.loss()));
        e.scores().forEach((name, v) -> s.append(String.format(Locale.ROOT, "   %s %.4f", name, v)));
        return s.toString();
    }

    private ObjectNode described(@Nullable TaskEvaluation before, @Nullable TaskEvaluation after) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.put("kind", c.task().kind().name().toLowerCase(Locale.ROOT));
        names.forEach(o.putArray("labels")::add);
        put(o, "before", before);
        put(o, "after", after);
        return o;
    }

    private static void put(ObjectNode o, String key, @Nullable TaskEvaluation e) {
        if (e == null)
            return;
        ObjectNode own = o.putObject(key);
        own.put("loss", e.loss());
        for (Map.Entry<String, Double> s : e.scores().entrySet())
            own.put(s.getKey(), s.getValue());
    }

    /// Examples in the order of training, epoch after epoch.
    private final class Examples {
        private int epoch;
        private long taken;
        private List<Integer> order = train.shuffled(c.seed(), 0);
        private int at;

        List<Integer> take(int n) {
            List<Integer> out = new ArrayList<>();
            while (out.size() < n) {
                if (at == order.size()) {
                    order = train.shuffled(c.seed(), ++epoch);
                    at = 0;
                }
                out.add(order.get(at++));
                taken++;
            }
            return out;
        }
    }

    /// The configuration of the model that a run starts from.
    public TaskConfig config() {
        return model.config();
    }

    @Override
    public void close() {
        dir.close();
        if (tokenizer != null)
            tokenizer.close();
    }
}
