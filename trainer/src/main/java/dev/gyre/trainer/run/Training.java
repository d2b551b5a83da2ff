package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.trainer.config.LoopSettings;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.Validation;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What a run trains, and on what. A [TrainingRun] does the rest: the folder, the loop, checkpoints, resuming, workers.
///
/// @param <B> a micro-batch
public interface Training<B> extends AutoCloseable {
    LoopSettings config();

    BatchStream<B> batches();

    /// Optimiser steps of the run.
    long steps();

    /// Measures what a session trains; null where there is nothing to evaluate on.
    @Nullable
    Validation validation(LearningSession<B> session);

    /// Opens what the steps are taken in.
    ///
    /// @param uses of it; with them what the configuration asks for, such as gradient checkpointing
    /// @param accumulate micro-batches of a step that one session computes
    LearningSession<B> session(Backend backend, Set<Use> uses, int accumulate);

    /// What a run's own session is used for.
    Set<Use> uses();

    /// Remarks that a user should see before the run starts.
    List<String> notes();

    /// Files and folders of the model.
    List<Path> inputs();

    /// Files of examples.
    List<Path> examples();

    /// Further files of the run directory, by name.
    default Map<String, String> files() {
        return Map.of();
    }

    /// Name of the result's folder in the run directory: `adapter` or `model`.
    String folder();

    /// Writes the adapter or the model, as it is now, into a folder that does not exist yet.
    void write(Path to);

    /// Bytes that the process takes at its peak on the CPU.
    long expectedPeak(LearningSession<B> session);

    /// Bytes of weights that are still in their files, and that the CPU would have to read into memory.
    default long unread() {
        return 0;
    }

    /// Listeners of its own.
    ///
    /// @param others that they may tell
    default List<TrainListener> listeners(LearningSession<B> session, Backend backend, List<TrainListener> others) {
        return List.of();
    }

    @Override
    default void close() {
    }
}
