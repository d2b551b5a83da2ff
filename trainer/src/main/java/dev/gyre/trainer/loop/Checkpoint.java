package dev.gyre.trainer.loop;

import dev.gyre.model.transformer.TrainState;
import dev.gyre.trainer.data.BatchStream;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Everything that a run needs to go on as if it had never stopped.
///
/// @param step optimiser steps done
/// @param position where the next row comes from
/// @param bestLoss lowest validation loss so far, null before the first
/// @param bestStep step of that evaluation, 0 before the first
/// @param draws random draws of dropout so far
/// @param watch what tells whether the run goes wrong
/// @param state parameters and moments
public record Checkpoint(long step, BatchStream.Position position, @Nullable Double bestLoss, long bestStep, long draws,
        Watch watch, TrainState state) {
    /// @param recent losses of the last steps, oldest first
    /// @param lowest of their averages so far; null before the first
    /// @param zeroGradients steps in a row, up to now, whose gradients were exactly 0
    public record Watch(List<Double> recent, @Nullable Double lowest, int zeroGradients) {
        /// At the start of a run.
        public static final Watch NONE = new Watch(List.of(), null, 0);

        public Watch {
            recent = List.copyOf(recent);
        }
    }
}
