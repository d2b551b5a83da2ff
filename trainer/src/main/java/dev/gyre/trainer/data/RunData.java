package dev.gyre.trainer.data;

import dev.gyre.model.transformer.BatchShape;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.RunSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// The examples of a run as tokens and batches.
///
/// @param tasks that the model answers while training
/// @param steps optimiser steps of the run
public record RunData(TokenizedSet train, @Nullable TokenizedSet valid, Batches batches, List<Batches.Micro> validation,
        Map<String, List<Batches.Micro>> alsoValid, List<ModelText.Task> tasks, long steps) {
    /// What the memory of a run depends on.
    ///
    /// @param bytes of examples and validation batches
    /// @param room longest sequence when the model answers while training; 0 where it does not
    public record Load(long bytes, int room) {
    }

    /// Reads everything that a run needs before its first step.
    public static RunData read(RunSettings c, ModelText text) {
        RunConfig.Data d = c.data();
        RunConfig.Train t = c.train();
        RunConfig.Eval eval = c.eval();
        TokenizedSet.Rules rules = TokenizedSet.Rules.of(d, t.seqLen());
        TokenizedSet train = TokenizedSet.read(Path.of(d.train()), rules, text);
        TokenizedSet valid = d.valid() == null ? null : TokenizedSet.read(Path.of(d.valid()), rules, text);
        Batches batches =
                new Batches(train, t.microBatch(), t.seqLen(), t.buckets(), d.packing(), d.shuffle(), c.seed(),
                        t.epochs() == null ? Double.POSITIVE_INFINITY : t.epochs());
        List<Batches.Micro> validation = valid == null ? List.of()
                : Batches.inOrder(valid, t.microBatch(), t.seqLen(), d.packing(), eval.batches());
        Map<String, List<Batches.Micro>> also = new TreeMap<>();
        d.alsoValid()
                .forEach((name, file) -> also.put(name, Batches.inOrder(TokenizedSet.read(Path.of(file), rules, text),
                        t.microBatch(), t.seqLen(), d.packing(), eval.batches())));
        List<ModelText.Task> tasks = d.valid() == null ? List.of()
                : text.tasks(ExampleReader.tasks(Path.of(d.valid()), d.format(), eval.samples()));
        return new RunData(train, valid, batches, validation, also, tasks, steps(batches, t));
    }

    /// As [#read], after checking what is needed only when training is done: a mistake in it would show after hours.
    public static RunData readAll(RunConfig c, ModelText text) {
        String old = c.results().forgetting();
        if (old != null) {
            TokenizedSet.read(Path.of(old), TokenizedSet.Rules.of(c.data(), c.train().seqLen()), text);
            text.tasks(ExampleReader.tasks(Path.of(old), c.data().format(), c.results().answers()));
        }
        return read(c, text);
    }

    /// Examples without any for validation, packed and shuffled.
    public static RunData of(TokenizedSet train, RunConfig.Train t, long seed) {
        Batches batches = new Batches(train, t.microBatch(), t.seqLen(), t.buckets(), true, true, seed,
                t.epochs() == null ? Double.POSITIVE_INFINITY : t.epochs());
        return new RunData(train, null, batches, List.of(), Map.of(), List.of(), steps(batches, t));
    }

    /// Optimiser steps of the run, which must be more than those of its warm-up.
    private static long steps(Batches batches, RunConfig.Train t) {
        long steps = batches.steps(t);
        if (t.warmup() >= steps)
            throw new ConfigException("train.warmup " + t.warmup() + " is as long as the run or longer: "
                    + (t.epochs() == null ? "" : "train.epochs " + t.epochs() + " make ") + steps
                    + " steps, and the learning rate would not come down from its peak; lower train.warmup or train"
                    + " longer");
        return steps;
    }

    /// Tokens that the loss on `data.valid` is measured on while training: fewer than it has where `eval.batches` cuts.
    public long validated() {
        return validation.stream().mapToLong(Batches.Micro::trained).sum();
    }

    /// For the first steps of the run only.
    public RunData first(long most) {
        return new RunData(train, valid, batches, validation, alsoValid, tasks, Math.min(most, steps));
    }

    public RunData withoutValidation() {
        return new RunData(train, null, batches, List.of(), Map.of(), List.of(), steps);
    }

    /// What a user should know about the examples before training on them.
    ///
    /// @param c the run
    public List<String> notes(RunSettings c) {
        List<String> out = new ArrayList<>(train.notes());
        if (valid == null)
            return out;
        out.addAll(valid.notes());
        boolean asked = c.eval().samples() > 0 || c instanceof RunConfig r && r.results().answers() > 0
                && ExampleReader.format(valid.file(), c.data().format()) == RunConfig.Format.JSONL;
        if (asked && valid.tasks() == 0)
            out.add("data.valid has no tasks (prompt and completion, or messages with an answer), so none is answered");
        return out;
    }

    /// Shapes of the micro-batches.
    public static List<BatchShape> shapes(RunConfig.Train t) {
        List<BatchShape> out = new ArrayList<>(List.of(new BatchShape(t.microBatch(), t.seqLen())));
        t.buckets().forEach(b -> out.add(new BatchShape(t.microBatch(), b)));
        return out;
    }

    /// @param context of the model, in tokens
    public Load load(int context, ModelText text) {
        // a token is an id and whether it is trained on; a position of a batch has four values
        long bytes = 5 * (train.tokens() + (valid == null ? 0L : valid.tokens()));
        for (List<Batches.Micro> set : Stream.concat(Stream.of(validation), alsoValid.values().stream()).toList())
            for (Batches.Micro m : set)
                bytes += 16L * m.batch().ids().length;
        return new Load(bytes, tasks.isEmpty() ? 0 : text.room(tasks, context));
    }
}
