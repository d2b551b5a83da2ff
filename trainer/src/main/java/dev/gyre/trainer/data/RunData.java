package dev.gyre.trainer.data;

import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.RunSettings;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// The examples of a run as tokens and batches.
///
/// @param tasks that the model answers while training
/// @param steps optimiser steps of the run
/// @param sets that they were read from; null where a program had them
public record RunData(TokenizedSet train, @Nullable TokenizedSet valid, Batches batches,
        List<BatchStream.Micro<Batch>> validation,
        Map<String, List<BatchStream.Micro<Batch>>> alsoValid, List<ModelText.Task> tasks, long steps,
        @Nullable DataSets sets) {
    /// What the memory of a run depends on.
    ///
    /// @param bytes of the examples in memory
    /// @param room longest sequence when the model answers while training; 0 where it does not
    public record Load(long bytes, int room) {
    }

    /// Reads everything that a run needs before its first step.
    public static RunData read(RunSettings c, ModelText text) {
        RunConfig.Data d = c.data();
        RunConfig.Train t = c.train();
        RunConfig.Eval eval = c.eval();
        DataSets sets = new DataSets(d, t.seqLen(), c.seed(), text);
        TokenizedSet train = sets.train();
        TokenizedSet valid = sets.valid();
        Batches batches =
                new Batches(train, t.microBatch(), t.seqLen(), t.buckets(), d.packing(), d.shuffle(), c.seed(),
                        t.epochs() == null ? Double.POSITIVE_INFINITY : t.epochs());
        List<BatchStream.Micro<Batch>> validation = valid == null ? List.of()
                : Batches.inOrder(valid, t.microBatch(), t.seqLen(), d.packing(), eval.batches());
        Map<String, List<BatchStream.Micro<Batch>>> also = new TreeMap<>();
        d.alsoValid()
                .forEach((name, files) -> also.put(name, Batches.inOrder(sets.read(files),
                        t.microBatch(), t.seqLen(), d.packing(), eval.batches())));
        List<ModelText.Task> tasks = text.tasks(sets.validTasks(eval.samples()));
        return new RunData(train, valid, batches, validation, also, tasks, steps(batches, t), sets);
    }

    /// As [#read], after checking what is needed only when training is done: a mistake in it would show after hours.
    public static RunData readAll(RunConfig c, ModelText text) {
        DataFiles old = c.results().forgetting();
        if (old != null) {
            DataSets sets = new DataSets(c, text);
            sets.read(old);
            text.tasks(sets.tasks(old, c.results().answers()));
        }
        return read(c, text);
    }

    /// Examples without any for validation, packed and shuffled.
    public static RunData of(TokenizedSet train, RunConfig.Train t, long seed) {
        Batches batches = new Batches(train, t.microBatch(), t.seqLen(), t.buckets(), true, true, seed,
                t.epochs() == null ? Double.POSITIVE_INFINITY : t.epochs());
        return new RunData(train, null, batches, List.of(), Map.of(), List.of(), steps(batches, t), null);
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
        return validation.stream().mapToLong(BatchStream.Micro::trained).sum();
    }

    /// For the first steps of the run only.
    public RunData first(long most) {
        return new RunData(train, valid, batches, validation, alsoValid, tasks, Math.min(most, steps), sets);
    }

    public RunData withoutValidation() {
        return new RunData(train, null, batches, List.of(), Map.of(), List.of(), steps, sets);
    }

    /// What a user should know about the examples before training on them.
    ///
    /// @param c the run
    public List<String> notes(RunSettings c) {
        List<String> out = new ArrayList<>(train.notes());
        if (valid == null)
            return out;
        out.addAll(valid.notes());
        boolean asked = c.eval().samples() > 0
                || c instanceof RunConfig r && r.results().answers() > 0 && sets != null && sets.validMayAsk();
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
        // validation batches are made one at a time
        long bytes = train.heapBytes() + (valid == null ? 0 : valid.heapBytes());
        return new Load(bytes, tasks.isEmpty() ? 0 : text.room(tasks, context));
    }
}
