package dev.gyre.trainer.run;

import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.TrainLoop;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The examples of a run as tokens and batches.
///
/// @param steps optimiser steps of the run
public record RunData(TokenizedSet train, @Nullable TokenizedSet valid, Batches batches, List<Batches.Micro> validation,
        long steps) {
    public static RunData read(RunConfig.Data d, RunConfig.Train t, RunConfig.Eval eval, long seed, ModelText text) {
        TokenizedSet.Rules rules = new TokenizedSet.Rules(d.format(), d.trainOn(), d.tooLong(), t.seqLen());
        TokenizedSet train = TokenizedSet.read(Path.of(d.train()), rules, text);
        TokenizedSet valid = d.valid() == null ? null : TokenizedSet.read(Path.of(d.valid()), rules, text);
        Batches batches = new Batches(train, t.microBatch(), t.seqLen(), d.packing(), d.shuffle(), seed,
                t.epochs() == null ? Double.POSITIVE_INFINITY : t.epochs());
        List<Batches.Micro> validation = valid == null ? List.of()
                : Batches.inOrder(valid, t.microBatch(), t.seqLen(), d.packing(), eval.batches());
        return new RunData(train, valid, batches, validation, TrainLoop.steps(t, batches));
    }

    /// Tokens of all examples.
    public long tokens() {
        return train.tokens() + (valid == null ? 0L : valid.tokens());
    }
}
