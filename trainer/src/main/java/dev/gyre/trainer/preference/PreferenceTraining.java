package dev.gyre.trainer.preference;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.transformer.PairBatch;
import dev.gyre.model.transformer.PreferenceLoss;
import dev.gyre.model.transformer.PreferenceSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.PreferenceRunConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.PreferenceReader;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.loop.Validation;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.run.Trained;
import dev.gyre.trainer.run.Training;
import dev.gyre.trainer.run.TrainingRun;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// A language model trained on pairs of answers: from a `run.yaml` with a section `preference` to the adapter (or model) with
/// its scores. The reference of DPO is the model with the adapter off: the answers' log-probabilities are computed with
/// it once, before the first step.
public final class PreferenceTraining implements Training<PairBatch> {
    private static final String SCORES = "preference.json";

    private final PreferenceRunConfig c;
    private final PreferenceLoss loss;
    private final ModelText text;
    private final Transformer model;
    private final Trained trained;
    private final List<Integer> lengths;
    private final List<String> notes = new ArrayList<>();
    private final List<PairBatch.Pair> train;
    private final List<PairBatch.Pair> valid;
    private final PairStream batches;
    private final long steps;

    /// What pairs are on a model.
    ///
    /// @param accuracy share of pairs whose chosen answer has the higher reward
    /// @param margin mean difference of the rewards
    public record Scores(double loss, double accuracy, double margin, double chosen, double rejected) {
        static Scores of(List<PreferenceLoss.Terms> all) {
            return new Scores(mean(all.stream().mapToDouble(PreferenceLoss.Terms::loss).toArray()),
                    mean(all.stream().mapToDouble(t -> t.accurate() ? 1 : 0).toArray()),
                    mean(all.stream().mapToDouble(PreferenceLoss.Terms::margin).toArray()),
                    mean(all.stream().mapToDouble(PreferenceLoss.Terms::chosenReward).toArray()),
                    mean(all.stream().mapToDouble(PreferenceLoss.Terms::rejectedReward).toArray()));
        }

        private static double mean(double[] all) {
            return Arrays.stream(all).sum() / all.length;
        }

        Map<String, Double> named() {
            Map<String, Double> m = new LinkedHashMap<>();
            m.put("accuracy", accuracy);
            m.put("margin", margin);
            m.put("reward_chosen", chosen);
            m.put("reward_rejected", rejected);
            return m;
        }

        void into(ObjectNode o) {
            o.put("loss", loss);
            named().forEach(o::put);
        }

        @Override
        public String toString() {
            return String.format(java.util.Locale.ROOT,
                    "valid loss %.4f   accuracy %.3f   margin %.4f   rewards %.4f and %.4f", loss, accuracy, margin,
                    chosen, rejected);
        }
    }

    /// Reads everything that a run needs before its first step, and measures the reference.
    public PreferenceTraining(PreferenceRunConfig c, Backend backend) {
        this.c = c;
        this.loss = c.preference().of();
        Path from = c.model().directory();
        this.text = ModelText.load(from);
        try (ModelDir dir = ModelDir.open(from)) {
            this.model = c.adapter() instanceof Full ? Transformer.load(dir)
                    : Transformer.load(dir, c.model().base(), ModelRef.staysInFiles(backend));
        }
        List<Integer> all = new ArrayList<>(c.train().buckets().stream().filter(b -> b < c.train().seqLen()).toList());
        all.add(c.train().seqLen());
        this.lengths = List.copyOf(all);
        List<PreferenceReader.Pair> read = fitting(c.data().train());
        List<PreferenceReader.Pair> held = c.data().valid() == null ? List.of() : fitting(c.data().valid());
        this.steps = steps(read.size());
        // before anything is on the model; in full training before anything has changed
        double[][] references = references(read, held, backend);
        this.train = pairs(read, references, 0);
        this.valid = pairs(held, references, read.size());
        this.trained = adapt(from, backend);
        this.batches = new PairStream(train, read.stream().mapToInt(PreferenceReader.Pair::line).toArray(),
                c.data().train(), c.train().microBatch(), c.seed());
    }

    private List<PreferenceReader.Pair> fitting(String file) {
        List<PreferenceReader.Pair> all = PreferenceReader.read(Path.of(file), text);
        List<PreferenceReader.Pair> out = all.stream().filter(p -> p.length() <= c.train().seqLen()).toList();
        if (out.isEmpty())
            throw new ConfigException("all " + all.size() + " pairs of " + file + " are longer than train.seq_len "
                    + c.train().seqLen() + "; raise it");
        if (out.size() < all.size())
            notes.add(file + ": " + (all.size() - out.size()) + " of " + all.size()
                    + " pairs are left out: a row is longer than train.seq_len " + c.train().seqLen());
        return out;
    }

    private long steps(int pairs) {
        RunConfig.Train t = c.train();
        Double epochs = t.epochs();
        long n = t.steps() != null ? t.steps()
                : (long) Math.ceil((epochs == null ? 1 : epochs) * pairs / ((double) t.microBatch() * t.accumulate()));
        if (t.warmup() >= n)
            throw new ConfigException("train.warmup " + t.warmup() + " is as long as the run or longer: " + n
                    + " steps; lower train.warmup or train longer");
        return n;
    }

    private Trained adapt(Path from, Backend backend) {
        return switch (c.adapter()) {
            case AdapterOptions options -> {
                Adapter adapter;
                try (ModelDir dir = ModelDir.open(from)) {
                    adapter = Adapter.create(options.inRun(c.seed(), steps), model, c.seed(), new BaseWeights(
                            Transformer.reading(dir), backend, (_, _, _, _) -> HeapTrim.collect()));
                }
                model.attach(adapter);
                yield new Trained.OnModel(model, adapter, text, from, c.model().name());
            }
            case Full _ -> new Trained.AllWeights(model, text, from);
        };
    }

    private List<BatchShape> shapes() {
        return lengths.stream().map(n -> new BatchShape(1, n)).toList();
    }

    /// Log-probabilities of chosen and rejected answers, those of held-out pairs behind the others.
    private double[][] references(List<PreferenceReader.Pair> read, List<PreferenceReader.Pair> held, Backend backend) {
        double[][] out = new double[read.size() + held.size()][2];
        if (!loss.needsReference())
            return out;
        List<PreferenceReader.Pair> all = new ArrayList<>(read);
        all.addAll(held);
        try (PreferenceSession s =
                new PreferenceSession(model, backend, shapes(), false, Set.of(Use.EVALUATE), 1, loss)) {
            for (int i = 0; i < out.length; i++) {
                out[i][0] = s.logProbability(row(all.get(i).chosen()));
                out[i][1] = s.logProbability(row(all.get(i).rejected()));
            }
        }
        HeapTrim.collect();
        return out;
    }

    private List<PairBatch.Pair> pairs(List<PreferenceReader.Pair> read, double[][] references, int from) {
        List<PairBatch.Pair> out = new ArrayList<>();
        for (int i = 0; i < read.size(); i++)
            out.add(new PairBatch.Pair(row(read.get(i).chosen()), row(read.get(i).rejected()), references[from + i][0],
                    references[from + i][1]));
        return out;
    }

    /// A row of the shortest length that holds it; each label is the next token.
    private Batch row(PreferenceReader.Answer a) {
        int[] tokens = a.tokens();
        int T = lengths.stream().filter(n -> n >= tokens.length).findFirst().orElseThrow();
        int[] ids = Arrays.copyOf(tokens, T);
        int[] labels = new int[T];
        Arrays.fill(labels, Batch.IGNORE);
        for (int i = 1; i < tokens.length; i++)
            if (a.target().get(i))
                labels[i - 1] = tokens[i];
        return Batch.rows(1, T, ids, labels);
    }

    @Override
    public PreferenceRunConfig config() {
        return c;
    }

    public Transformer model() {
        return model;
    }

    public int trainPairs() {
        return train.size();
    }

    public int validPairs() {
        return valid.size();
    }

    @Override
    public BatchStream<PairBatch> batches() {
        return batches;
    }

    @Override
    public long steps() {
        return steps;
    }

    @Override
    public @Nullable Validation validation(LearningSession<PairBatch> session) {
        return valid.isEmpty() ? null : (Collective _) -> {
            Scores s = measure(session);
            return new Validation.Measured(s.loss, valid.size(), Map.of(), s.named());
        };
    }

    private Scores measure(LearningSession<PairBatch> session) {
        if (!(session instanceof PreferenceSession s))
            throw new IllegalArgumentException("a session of another kind");
        return Scores.of(s.terms(new PairBatch(valid)));
    }

    @Override
    public LearningSession<PairBatch> session(Backend backend, Set<Use> uses, int accumulate) {
        return new PreferenceSession(model, backend, shapes(), trained.full(), uses, accumulate, loss);
    }

    @Override
    public Set<Use> uses() {
        return c.train().uses();
    }

    @Override
    public List<String> notes() {
        List<String> all = new ArrayList<>(notes);
        all.add("dropout of the adapter has no effect on pairs of answers");
        model.adapters().forEach(a -> all.addAll(a.remarks()));
        int context = model.config().maxPositionEmbeddings();
        if (c.train().seqLen() > context)
            all.add("train.seq_len " + c.train().seqLen() + " is longer than the model's context of " + context);
        return all;
    }

    @Override
    public List<Path> inputs() {
        return trained.inputs();
    }

    @Override
    public List<Path> examples() {
        return c.data().valid() == null ? List.of(Path.of(c.data().train()))
                : List.of(Path.of(c.data().train()), Path.of(c.data().valid()));
    }

    @Override
    public String folder() {
        return trained.folder();
    }

    @Override
    public void write(Path to) {
        trained.write(to);
    }

    @Override
    public long unread() {
        return model.bytesInFiles();
    }

    @Override
    public long expectedPeak(LearningSession<PairBatch> session) {
        long stored = trained.full() ? model.weights().values().stream().mapToLong(HostData::bytes).sum() : 0;
        long rows = train.stream().mapToLong(p -> 16L * (p.chosen().T() + p.rejected().T())).sum();
        return stored + session.plannedBytes() + MemoryEstimate.beside(session.trainableParameters(), rows,
                Runtime.getRuntime().availableProcessors());
    }

    /// Measures the model before the first step; null without validation.
    public @Nullable Scores begin(TrainingRun<PairBatch> run) {
        Path file = run.dir().path().resolve(SCORES);
        if (valid.isEmpty() || run.from() > 0 && Files.exists(file))
            return null;
        Scores s = measure(run.session());
        ObjectNode o = Json.MAPPER.createObjectNode();
        s.into(o.putObject("before"));
        run.dir().write(SCORES, Json.pretty(o));
        return s;
    }

    /// Measures the result; null without validation.
    public @Nullable Scores end(TrainingRun<PairBatch> run) {
        if (valid.isEmpty())
            return null;
        Scores s = measure(run.session());
        Path file = run.dir().path().resolve(SCORES);
        ObjectNode o = Files.exists(file) ? Json.readObject(file) : Json.MAPPER.createObjectNode();
        s.into(o.putObject("after"));
        run.dir().write(SCORES, Json.pretty(o));
        return s;
    }

    /// Trains some steps and writes nothing.
    public TrainLoop.Result trial(Backend backend, int most, List<TrainListener> listeners) {
        try (LearningSession<PairBatch> session = session(backend, uses(), c.train().accumulate())) {
            return new TrainLoop<>(session, batches, Math.min(most, steps), null, c.train()).listening(listeners)
                    .run();
        }
    }

    @Override
    public void close() {
        text.close();
    }
}
