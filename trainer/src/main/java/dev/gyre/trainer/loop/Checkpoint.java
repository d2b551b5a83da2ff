package dev.gyre.trainer.loop;

import dev.gyre.model.transformer.TrainState;
import dev.gyre.trainer.data.Batches;
import org.jspecify.annotations.Nullable;

/// Everything that a run needs to go on as if it had never stopped.
///
/// @param step optimiser steps done
/// @param position where the next row comes from
/// @param bestLoss lowest validation loss so far, null before the first
/// @param bestStep step of that evaluation, 0 before the first
/// @param draws random draws of dropout so far
/// @param state parameters and moments
public record Checkpoint(long step, Batches.Position position, @Nullable Double bestLoss, long bestStep, long draws,
        TrainState state) {
}
