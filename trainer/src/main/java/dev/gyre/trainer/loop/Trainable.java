package dev.gyre.trainer.loop;

import dev.gyre.kernels.op.Op;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.TrainState;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What the loop needs of the thing it trains: [TrainSession], or a stand-in in tests.
public interface Trainable {
    /// Adds the gradient of `scale * (sum of token losses)` and returns that sum, unscaled.
    double microBatch(Batch b, float scale);

    /// Clips, steps, zeroes the gradients; returns the gradient norm before clipping.
    double update(AdamWStep step);

    /// The first operation whose result is not finite when micro-batch `b` is repeated; null when that cannot be told.
    default @Nullable String culprit(Batch b, float scale) {
        return null;
    }

    /// Sum of the token losses.
    double evaluate(Batch b);

    TrainState state();

    /// Where the rotations stand; empty where nothing rotates.
    default List<Geometry> geometry() {
        return List.of();
    }

    /// Random draws so far, a part of the state.
    long draws();

    void restore(TrainState state, long draws);

    static Trainable of(TrainSession s) {
        return new Trainable() {
            @Override
            public double microBatch(Batch b, float scale) {
                return s.microBatch(b, scale);
            }

            @Override
            public double update(AdamWStep step) {
                return s.update(step);
            }

            @Override
            public @Nullable String culprit(Batch b, float scale) {
                Op op = s.firstNonFinite(b, scale);
                return op == null ? null : op.toString();
            }

            @Override
            public double evaluate(Batch b) {
                return s.evaluate(b);
            }

            @Override
            public List<Geometry> geometry() {
                return s.geometry();
            }

            @Override
            public TrainState state() {
                return s.state();
            }

            @Override
            public long draws() {
                return s.dropoutDraws();
            }

            @Override
            public void restore(TrainState state, long draws) {
                s.restore(state);
                s.dropoutDraws(draws);
            }
        };
    }
}
