package dev.gyre.model.transformer;

import dev.gyre.model.adapter.Geometry;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What a training loop needs of the thing it trains: a [LearningSession], or a stand-in in tests.
///
/// @param <B> a micro-batch
public interface Trainable<B> extends AutoCloseable {
    /// Forward and backward: adds the gradient of `scale * (sum of row losses)` to the gradients.
    ///
    /// @return the sum of the row losses (not scaled)
    double microBatch(B b, float scale);

    /// Clips, takes an AdamW step and sets the gradients to zero; returns the gradient norm before clipping. When that is
    /// not finite, nothing is changed.
    double update(AdamWStep step);

    /// Puts the gradients aside as partial sum number `level` and sets them to zero.
    void hold(int level);

    /// Adds partial sum number `level` to the gradients.
    void addHeld(int level);

    /// The gradients summed so far, copied.
    float[] gradientSum();

    /// Replaces the gradients.
    void gradientSum(float[] sum);

    /// The first operation whose result is not finite when micro-batch `b` is repeated; null when none is, or when the
    /// backend cannot tell.
    default @Nullable String culprit(B b, float scale) {
        return null;
    }

    /// Sum of the row losses, without gradients.
    double evaluate(B b);

    /// Current parameters and moments, copied.
    TrainState state();

    /// Rotation metrics of each adapted module; empty where nothing rotates.
    default List<Geometry> geometry() {
        return List.of();
    }

    /// Random draws of dropout so far, a part of the state.
    long draws();

    /// Sets the number of draws, so that a worker that computes a part of a step drops what one alone would.
    void draws(long draws);

    /// Goes back to a state, with the draws that belong to it, so that a resumed run drops the same.
    void restore(TrainState state, long draws);

    @Override
    default void close() {
    }
}
