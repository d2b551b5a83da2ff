package dev.gyre.trainer.plan;

import dev.gyre.kernels.InputException;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ExampleFiles;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenCache;
import dev.gyre.trainer.data.TokenizedSet;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// A run.yaml that needs no editing: looks at the model, the examples and the memory of the machine, and chooses each key
/// with its reason. The choices are plain rules for a first run; what they rest on is in docs/first-run.md.
public final class RunDraft {
    /// Tokens up to which examples are measured; longer ones are cut in any case.
    private static final int LONGEST = 8192;
    /// Rows of a micro-batch together: beyond, a CPU gets no faster, and the memory grows.
    private static final int TOKENS_AT_ONCE = 1024;
    /// Optimiser steps that a small data set is repeated for, and how often at most: a small model learns slowly and cheaply.
    private static final int STEPS = 150;
    private static final int STEPS_OF_SMALL = 500;
    private static final int EPOCHS = 5;
    private static final int EPOCHS_OF_SMALL = 20;
    private static final long SMALL = 10_000_000;
    /// Iterations of Newton-Schulz that reach the precision of F32.
    private static final int ITERATIONS = 6;
    private static final int BLOCK = 32;

    private final String model;
    private final List<String> data;
    private final @Nullable String valid;
    private final Draft draft;

    /// What the machine has.
    ///
    /// @param memory bytes that a run may take
    /// @param threads of the CPU backend
    public record Machine(long memory, int threads) {
        /// Three quarters of the memory of this machine or container, and no more than the JVM may take.
        public static Machine here() {
            long total = java.lang.management.ManagementFactory
                    .getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean m
                            ? m.getTotalMemorySize() : Long.MAX_VALUE;
            return new Machine(Math.min(total / 4 * 3, Runtime.getRuntime().maxMemory()),
                    Runtime.getRuntime().availableProcessors());
        }
    }

    private RunDraft(String model, List<String> data, @Nullable String valid, List<String> settings) {
        this.model = model;
        this.data = data;
        this.valid = valid;
        this.draft = new Draft(settings, List.of("train", "plan", "data", "check"));
    }

    /// @param model a model directory or a name of the Hugging Face hub
    /// @param data files or folders of examples
    /// @param valid examples for validation; null: a part of `data`
    /// @param settings keys that the user chooses, such as `train.lr=1e-3`
    /// @throws dev.gyre.kernels.GyreException if model or examples cannot be read, or nothing fits into the memory
    public static Draft of(String model, List<String> data, @Nullable String valid, List<String> settings,
            Machine machine) {
        RunDraft d = new RunDraft(model, data, valid, settings);
        d.choose(machine);
        return d.draft;
    }

    private void put(String key, Object value, String reason) {
        draft.put(key, value, reason);
    }

    /// The run as far as it is chosen.
    private RunConfig config() {
        return ConfigReader.parseWithInputs("gyre init", "", RunConfig.class, draft.all());
    }

    private void choose(Machine machine) {
        put("model.path", model, "");
        put("adapter.method", "oft", "");
        put("data.train", data.size() == 1 ? data.getFirst() : data, "");
        put("output.dir", "runs/draft", "");
        RunConfig first = config();
        try (ModelText text = ModelText.load(first); ModelDir files = ModelDir.open(first.model().directory())) {
            ExampleFiles examples = ExampleFiles.of(first.data().train(), first.data());
            int context = files.config().maxPositionEmbeddings();
            boolean plain = examples.isText();
            TokenizedSet set = TokenizedSet.read(examples,
                    new TokenizedSet.Rules(first.data().format(), first.data().trainOn(),
                            plain ? RunConfig.TooLong.SPLIT : RunConfig.TooLong.TRUNCATE, Math.min(context, LONGEST)),
                    text, TokenCache.of(first.data()));
            long parameters = RunPlan.with(first, machine.threads,
                    p -> p.own(new RunData.Load(0, 0)).parameters());
            method(files, parameters);
            rate(parameters);
            length(set, context);
            batches(set, parameters);
            validation(set, parameters);
            put("output.dir", Draft.folder(model, data.getFirst()), "");
            fit(machine, files);
            steps(text);
        }
    }

    private void method(ModelDir files, long parameters) {
        draft.say(files.config().family().modelType() + ", " + big(parameters) + " parameters");
        if (given("adapter.method") && !chosen("adapter.method").equals("oft"))
            return;
        put("adapter.method", "oft",
                "OFTv2: rotates the inputs of every linear layer and leaves the weights as they are");
        put("adapter.block_size", BLOCK, "features that turn together: more learn more and cost more; 32 is the usual");
        put("adapter.cayley", "newton_schulz",
                "stays a rotation (error 1e-6) however far it turns; the other form, neumann,"
                        + " is a few per cent faster and lets go of it");
        put("adapter.terms", ITERATIONS, "iterations that it takes for that");
    }

    private void rate(long parameters) {
        double lr = parameters < SMALL ? 4e-3 : parameters < 300_000_000 ? 2e-3 : parameters < 1_000_000_000 ? 1.2e-3
                : 8e-4;
        put("train.lr", lr,
                "for a model of this size, to begin with (twice what neumann takes, which turns twice as far);"
                        + " gyre lr-find measures it on this run");
    }

    private void length(TokenizedSet set, int context) {
        int[] lengths = new int[set.size()];
        for (int i = 0; i < lengths.length; i++)
            lengths[i] = set.length(i) - 1;
        Arrays.sort(lengths);
        int longest = lengths[lengths.length - 1];
        boolean running = set.tasks() == 0;
        int most = Math.min(context, 2048);
        int wanted = longest <= 1024 ? longest : lengths[(int) (0.99 * (lengths.length - 1))];
        int T;
        String why;
        if (running) {
            T = Math.min(most, 512);
            why = "running text, cut into rows of this many tokens; the model's context is " + context;
            put("data.too_long", RunConfig.TooLong.SPLIT, "running text goes on in the next row");
        } else {
            T = Math.min(most, Math.max(Math.min(128, most), (wanted + 15) / 16 * 16));
            int cut = lengths.length - place(lengths, T);
            why = cut == 0 ? "tokens in a row: the longest example has " + longest
                    : cut + " of " + lengths.length + " examples are longer (the longest has " + longest
                            + ") and are cut there";
        }
        put("train.seq_len", T, why);
        draft.say(many(set.size(), running ? "piece of text" : "example") + ", median "
                + lengths[lengths.length / 2] + ", longest " + longest + " tokens, "
                + Math.round(100.0 * set.targets() / Math.max(1, set.tokens())) + " % of them trained");
    }

    /// How many of `sorted` are at most `x`.
    private static int place(int[] sorted, int x) {
        int n = 0;
        while (n < sorted.length && sorted[n] <= x)
            n++;
        return n;
    }

    private void batches(TokenizedSet set, long parameters) {
        int T = Integer.parseInt(chosen("train.seq_len"));
        int n = set.size();
        boolean running = set.tasks() == 0;
        int examples = n < 1000 ? 8 : n < 10_000 ? 16 : 32;
        double each = Math.max(1, (double) set.tokens() / n - 1);
        int inRow = Math.max(1, (int) (T / each));
        int rows = running ? 8 : Math.max(1, Math.round((float) examples / inRow));
        int micro = 1;
        while (2 * micro <= rows && 2 * micro * T <= TOKENS_AT_ONCE)
            micro *= 2;
        int accumulate = (rows + micro - 1) / micro;
        put("train.micro_batch", micro, "rows at once; a row holds " + (running || inRow == 1 ? "one example"
                : "some " + inRow + " examples, each with its own attention"));
        put("train.accumulate", accumulate, accumulate == 1 ? "a step is one of these"
                : "and " + micro * accumulate + " rows to a step, for a steadier gradient");
        int perStep = micro * accumulate * (running ? 1 : inRow);
        boolean small = parameters < SMALL;
        int epochs = Math.clamp((long) Math.ceil((double) (small ? STEPS_OF_SMALL : STEPS) * perStep / n), 1,
                small ? EPOCHS_OF_SMALL : EPOCHS);
        if (!given("train.steps"))
            put("train.epochs", epochs,
                    epochs == 1 ? "passes over the data" : "passes over the data: there are few examples");
        put("train.schedule", RunConfig.Schedule.COSINE, "");
    }

    private void validation(TokenizedSet set, long parameters) {
        if (valid != null)
            put("data.valid", valid, "");
        else {
            if (set.size() < 20)
                return;
            put("data.valid", set.size() > 2000 ? "200" : "10%",
                    "held out of the training examples, never trained on");
        }
        put("eval.result", RunConfig.Result.BEST, "the result is the step with the lowest loss on data.valid");
        if (set.tasks() == 0)
            return;
        put("eval.samples", 4, "answers to read while it trains");
        if (parameters > 300_000_000)
            put("results.answers", 20, "answers that are compared at the end; each takes a while with this model");
    }

    /// Weights as they are stored if they fit, else in 4 bits; then layers that are computed twice.
    private void fit(Machine machine, ModelDir files) {
        RunData.Load load = RunPlan.load(config());
        long least = Long.MAX_VALUE;
        for (Storage base : List.of(Storage.AS_STORED, Storage.NF4_DOUBLE))
            for (boolean twice : new boolean[] {false, true}) {
                if (twice && base == Storage.AS_STORED)
                    continue;
                put("model.base", base, "");
                if (twice)
                    put("train.gradient_checkpointing", true,
                            "layers run twice, a third more time, because their results do not fit");
                for (int micro = Integer.parseInt(chosen("train.micro_batch")),
                        rows = micro * Integer.parseInt(chosen("train.accumulate")); micro >= 1; micro /= 2) {
                    int m = micro;
                    String key = "train.micro_batch=" + m;
                    RunConfig c = ConfigReader.parse("gyre init", ConfigWriter.resolved(config()), RunConfig.class,
                            List.of(key));
                    MemoryEstimate e = RunPlan.with(c, machine.threads, p -> p.own(load)).memory();
                    if (e == null)
                        continue; // weights in 4 bits already
                    least = Math.min(least, e.total());
                    if (e.total() > machine.memory)
                        continue;
                    if (m < Integer.parseInt(chosen("train.micro_batch"))) {
                        put("train.micro_batch", m, "rows at once, as many as fit into the memory");
                        put("train.accumulate", (rows + m - 1) / m, "and " + rows + " rows to a step");
                    }
                    put("model.base", base, base == Storage.AS_STORED
                            ? "weights as they are: the run takes " + Draft.size(e.total()) + " of the "
                                    + Draft.size(machine.memory)
                                    + " that it may have here"
                            : "weights in 4 bits (QOFT): the run takes " + Draft.size(e.total())
                                    + ", and as they are stored would not fit into " + Draft.size(machine.memory));
                    draft.say("memory " + Draft.size(e.total()) + " of " + Draft.size(machine.memory));
                    return;
                }
            }
        throw new InputException(model + " does not fit: the least that its training takes here is " + Draft.size(least)
                + ", and "
                + Draft.size(machine.memory)
                + " may be used (three quarters of the memory, or -Xmx); take a smaller model,"
                + " or a lower train.seq_len with --set");
    }

    /// What depends on the number of steps.
    private void steps(ModelText text) {
        long steps = RunData.read(config(), text).steps();
        put("train.warmup", Math.min(50, steps / 20), "steps in which the learning rate rises; the run has " + steps);
        if (draft.has("data.valid"))
            put("eval.every", Math.max(1, steps / 10), "steps between evaluations: ten in all");
        put("output.checkpoint_every", Math.clamp(steps / 5, 10, 200),
                "steps after which an interrupted run can go on");
        draft.say(steps + " steps");
    }

    private boolean given(String key) {
        return draft.given(key);
    }

    private String chosen(String key) {
        return draft.chosen(key);
    }

    private static String big(long n) {
        return n >= 1_000_000_000 ? String.format(Locale.ROOT, "%.2f G", n / 1e9)
                : String.format(Locale.ROOT, "%.1f M", n / 1e6);
    }

    private static String many(long n, String what) {
        return String.format(Locale.ROOT, "%,d %s", n, n == 1 ? what : what.replaceFirst("piece|example", "$0s"));
    }
}
