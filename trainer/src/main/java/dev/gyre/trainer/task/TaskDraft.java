package dev.gyre.trainer.task;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.config.TaskRunConfig.Kind;
import dev.gyre.trainer.data.DataException;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.plan.Draft;
import dev.gyre.trainer.plan.RunDraft;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// A run.yaml with a section `task` that needs no editing, as [RunDraft] writes one for language models: looks at the model,
/// the columns of the examples, their lengths and the memory of the machine.
public final class TaskDraft {
    /// Rows of the examples that columns and kind are told by.
    private static final int LOOKED_AT = 500;
    private static final List<String> TEXTS = List.of("text", "sentence", "sentence1", "premise", "question", "query",
            "anchor", "review", "content", "tokens", "words", "title", "prompt", "message");
    private static final List<String> SECONDS = List.of("text2", "text_pair", "pair", "sentence2", "hypothesis",
            "sentence", "positive", "passage", "document", "answer", "response");
    private static final List<String> LABELS = List.of("label", "labels", "class", "category", "target", "score",
            "similarity", "rating", "ner_tags", "tags", "sentiment", "intent", "topic");
    /// Numbers are classes where there are few of them and all are whole.
    private static final int CLASSES = 20;
    private static final int LONGEST = 512;
    private static final int TOKENS_AT_ONCE = 4096;
    private static final int STEPS = 300;
    private static final int EPOCHS = 10;
    private static final long SMALL = 10_000_000;
    private static final long MEDIUM = 60_000_000;

    private final String model;
    private final String data;
    private final @Nullable String valid;
    private final Draft draft;

    private TaskDraft(String model, String data, @Nullable String valid, List<String> settings) {
        this.model = model;
        this.data = data;
        this.valid = valid;
        this.draft = new Draft(settings, List.of("train", "plan", "check"));
    }

    /// Whether a model, or what the user sets, asks for a task.
    ///
    /// @param model a model directory or a name of the Hugging Face hub
    /// @param settings keys that the user chooses
    public static boolean is(String model, List<String> settings) {
        return settings.stream().anyMatch(s -> s.startsWith("task.") || s.startsWith("task="))
                || TaskDir.is(Hub.directory(Path.of(model)));
    }

    /// @param model a model directory or a name of the Hugging Face hub
    /// @param data one file or folder of examples
    /// @param valid examples for validation, or how many to hold out; null: a part of `data`
    /// @param settings keys that the user chooses, such as `task.kind=number`
    /// @throws dev.gyre.kernels.GyreException if model or examples cannot be read, or nothing fits into the memory
    public static Draft of(String model, List<String> data, @Nullable String valid, List<String> settings,
            RunDraft.Machine machine) {
        if (data.size() != 1)
            throw new InputException("a task reads one file or folder of examples, and --data names " + data.size());
        TaskDraft d = new TaskDraft(model, data.getFirst(), valid, settings);
        d.choose(machine);
        return d.draft;
    }

    private TaskRunConfig config() {
        return ConfigReader.parseWithInputs("gyre init", "", TaskRunConfig.class, draft.all());
    }

    private void choose(RunDraft.Machine machine) {
        draft.put("model.path", model, "");
        task(Path.of(data));
        draft.put("adapter.method", "oft",
                "OFTv2: rotates the inputs of every linear layer and leaves the weights as they are");
        draft.put("data.train", data, "");
        draft.put("output.dir", Draft.folder(model, data), "");
        draft.put("train.seq_len", LONGEST, "");
        try (TaskTraining all = new TaskTraining(config(), new CpuBackend())) {
            long parameters = all.model().parameters();
            draft.say(all.modelConfig().json().path("model_type").asString("model") + ", " + big(parameters)
                    + " parameters");
            draft.say(String.format(Locale.ROOT, "%,d examples", all.trainExamples())
                    + (all.names().isEmpty() ? "" : ", " + all.names().size() + " labels"));
            method(all);
            draft.put("train.lr", parameters < SMALL ? 4e-3 : parameters < MEDIUM ? 2e-3 : 1e-3,
                    "for a model of this size, to begin with; gyre lr-find measures it on this run");
            int n = all.trainExamples();
            int micro = n < 200 ? 8 : all.modelConfig().images() ? 32 : 16;
            if (!all.modelConfig().images())
                micro = Math.clamp(TOKENS_AT_ONCE / lengths(all), 1, micro);
            validation(n);
            fit(machine, micro, n);
        }
        steps();
    }

    /// What is predicted, and from which columns.
    private void task(Path from) {
        if (TaskReader.images(from)) {
            draft.put("task.kind", Kind.CLASS, "one of several classes for each image");
            return;
        }
        List<ObjectNode> rows = TaskReader.head(from, LOOKED_AT);
        if (rows.isEmpty())
            throw new DataException(from, "has no examples");
        Set<String> columns = new LinkedHashSet<>();
        rows.forEach(o -> columns.addAll(o.propertyNames()));
        String text = draft.given("data.text") ? draft.chosen("data.text") : column(columns, TEXTS, Set.of());
        if (text == null)
            throw new DataException(from, "has the columns " + String.join(", ", columns)
                    + "; name the one with the text: --set data.text=COLUMN");
        String label = draft.given("data.label") ? draft.chosen("data.label")
                : column(columns, LABELS, Set.of(text));
        Set<String> taken = label == null ? Set.of(text) : Set.of(text, label);
        String pair = draft.given("data.pair") ? draft.chosen("data.pair") : column(columns, SECONDS, taken);
        if (label == null && pair == null)
            throw new DataException(from, "has the columns " + String.join(", ", columns)
                    + "; name the one with the label: --set data.label=COLUMN");
        Guess guess = guess(rows, text, label, pair);
        draft.put("task.kind", guess.kind, guess.reason);
        draft.put("data.text", text, "");
        if (pair != null)
            draft.put("data.pair", pair, "the second text of each example");
        if (label != null)
            draft.put("data.label", label, "");
    }

    private static @Nullable String column(Set<String> columns, List<String> names, Set<String> not) {
        for (String n : names)
            for (String c : columns)
                if (c.equalsIgnoreCase(n) && !not.contains(c))
                    return c;
        return null;
    }

    private record Guess(Kind kind, String reason) {
    }

    private Guess guess(List<ObjectNode> rows, String text, @Nullable String label, @Nullable String pair) {
        if (label == null)
            return new Guess(Kind.PAIRS, "embeddings: texts that belong together, told from the others of a batch");
        List<JsonNode> values = rows.stream().map(o -> o.path(label)).filter(v -> !v.isMissingNode() && !v.isNull())
                .toList();
        if (values.stream().anyMatch(JsonNode::isArray))
            return rows.getFirst().path(text).isArray()
                    ? new Guess(Kind.TOKENS, "a class for each word: both columns hold lists")
                    : new Guess(Kind.LABELS, "several labels for each text: the column holds lists");
        if (values.stream().anyMatch(v -> v.asString().contains("|")))
            return new Guess(Kind.LABELS, "several labels for each text, with bars between them");
        boolean numbers = true;
        boolean whole = true;
        double most = 0;
        Set<Double> all = new TreeSet<>();
        for (JsonNode v : values)
            try {
                double x = Double.parseDouble(v.asString());
                all.add(x);
                whole &= x == Math.rint(x);
                most = Math.max(most, Math.abs(x));
            } catch (NumberFormatException e) {
                numbers = false;
            }
        if (!numbers || whole && all.size() <= CLASSES)
            return new Guess(Kind.CLASS, "one of several classes; number if the labels are amounts");
        return pair != null && most <= 1 && TaskTraining.embeds(Hub.directory(Path.of(model)))
                ? new Guess(Kind.SIMILARITY, "embeddings: how alike two texts are, from -1 to 1")
                : new Guess(Kind.NUMBER, "a number: the labels are amounts");
    }

    private void method(TaskTraining t) {
        if (draft.given("adapter.method") && !draft.chosen("adapter.method").equals("oft"))
            return;
        int block = 32;
        for (Site s : t.modelConfig().linears())
            while (s.in() % block != 0 && block > 2)
                block /= 2;
        draft.put("adapter.block_size", block, "features that turn together: more learn more and cost more");
        draft.put("adapter.cayley", "newton_schulz", "stays a rotation (error 1e-6) however far it turns");
        draft.put("adapter.terms", 6, "iterations that it takes for that");
    }

    /// Chooses lengths of rows; returns the longest.
    private int lengths(TaskTraining t) {
        int[] sorted = t.tokens();
        int n = sorted.length;
        int longest = sorted[n - 1];
        int T = Math.min(t.longest(), round(longest));
        draft.put("train.seq_len", T, longest < LONGEST ? "tokens in a row: the longest text has " + longest
                : "tokens in a row; longer texts are cut there");
        Set<Integer> buckets = new TreeSet<>();
        for (double share : new double[] {0.5, 0.9})
            buckets.add(round(sorted[(int) (share * (n - 1))]));
        buckets.removeIf(b -> b >= T);
        if (!buckets.isEmpty())
            draft.put("train.buckets", new ArrayList<>(buckets),
                    "shorter rows, for batches of short texts: half and nine tenths of the texts fit into them");
        draft.say("median " + sorted[n / 2] + " tokens");
        return T;
    }

    private static int round(int tokens) {
        return (tokens + 15) / 16 * 16;
    }

    private void validation(int n) {
        if (valid != null)
            draft.put("data.valid", valid, "");
        else
            if (n >= 20)
                draft.put("data.valid", n > 10_000 ? "1000" : "10%",
                        "held out of the training examples, never trained on");
        if (draft.has("data.valid"))
            draft.put("eval.result", RunConfig.Result.BEST,
                    "the result is the step with the lowest loss on data.valid");
    }

    /// Weights as they are stored if they fit, else in 4 bits, in as large batches as fit.
    private void fit(RunDraft.Machine machine, int wanted, int n) {
        long least = Long.MAX_VALUE;
        draft.put("train.schedule", RunConfig.Schedule.COSINE, "");
        for (Storage base : List.of(Storage.AS_STORED, Storage.NF4_DOUBLE)) {
            draft.put("model.base", base, "");
            for (int micro = wanted; micro >= 1; micro /= 2) {
                draft.put("train.micro_batch", micro, micro == wanted ? "examples at once" : "as many as fit at once");
                draft.put("train.accumulate", Math.ceilDiv(wanted, micro), "");
                long peak;
                try (TaskTraining t = new TaskTraining(config(), new CpuBackend())) {
                    peak = t.peak();
                }
                least = Math.min(least, peak);
                if (peak > machine.memory() && !draft.given("train.micro_batch"))
                    continue;
                draft.put("model.base", base, base == Storage.AS_STORED ? "weights as they are: the run takes "
                        + Draft.size(peak) + " of the " + Draft.size(machine.memory()) + " that it may have here"
                        : "weights in 4 bits: the run takes " + Draft.size(peak)
                                + ", and as they are stored would not fit");
                draft.say("memory " + Draft.size(peak));
                if (!draft.given("train.steps"))
                    draft.put("train.epochs", Math.clamp(Math.ceilDiv(STEPS * (long) wanted, n), n < 10_000 ? 2 : 1,
                            EPOCHS), "passes over the data");
                return;
            }
        }
        throw new InputException(model + " does not fit: the least that its training takes here is " + Draft.size(least)
                + ", and "
                + Draft.size(machine.memory())
                + " may be used; take a smaller model, or a lower train.seq_len with --set");
    }

    /// What depends on the number of steps.
    private void steps() {
        try (TaskTraining t = new TaskTraining(config(), new CpuBackend())) {
            long steps = t.steps();
            draft.put("train.warmup", Math.min(50, steps / 20),
                    "steps in which the learning rate rises; the run has " + steps);
            if (draft.has("data.valid"))
                draft.put("eval.every", Math.max(1, steps / 5), "steps between evaluations: five in all");
            draft.say(steps + " steps");
        }
    }

    private static String big(long n) {
        return String.format(Locale.ROOT, "%.1f M", n / 1e6);
    }
}
