package dev.gyre.model.transformer;

import java.util.List;

/// Pairs of answers, each a row of its own.
public record PairBatch(List<Pair> pairs) {
    public PairBatch {
        pairs = List.copyOf(pairs);
    }

    /// One prompt with two answers; the labels of the rows are the answers' tokens.
    ///
    /// @param chosenReference log-probability of the chosen answer before training; 0 where it is not needed
    public record Pair(Batch chosen, Batch rejected, double chosenReference, double rejectedReference) {
    }

    /// Tokens of all rows, padding included.
    public long places() {
        return pairs.stream().mapToLong(p -> p.chosen.shape().tokens() + p.rejected.shape().tokens()).sum();
    }
}
