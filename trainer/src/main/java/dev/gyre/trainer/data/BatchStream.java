package dev.gyre.trainer.data;

import java.util.List;

/// The micro-batches that a run sees, one after the other. Everything follows from the place in the data, so [#position] is all
/// that a checkpoint needs.
///
/// @param <B> a micro-batch
public interface BatchStream<B> {
    /// Where the next row comes from.
    ///
    /// @param epoch passes over the data that are complete
    /// @param row of the current pass
    record Position(int epoch, int row) {
    }

    /// A micro-batch and the examples in it.
    ///
    /// @param trained what counts in the loss: tokens, rows or pairs; 0: it is not computed at all
    /// @param places tokens of its rows, padding included
    record Micro<B>(B batch, int trained, long places, int[] examples) {
    }

    /// The next `count` micro-batches: those of one optimiser step.
    List<Micro<B>> next(int count);

    Position position();

    void seek(Position p);

    /// Passes over the data so far, with the fraction of the current one.
    double epochsDone();

    /// What a micro-batch was made of, for messages: `data/train.jsonl lines 3, 17, 40, ...`.
    String describe(Micro<B> micro);
}
