package dev.gyre.trainer.run;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.trainer.config.LoopSettings;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.loop.TrainLoop;
import java.util.function.BooleanSupplier;

/// A worker of a run other than the first: takes the steps of a [TrainingRun] without a directory, a log or listeners.
public final class Follower {
    private Follower() {
    }

    /// Trains until the first worker's run ends.
    ///
    /// @param version of Gyre
    /// @param stop asked after each step; true on any worker ends the run
    public static <B> TrainLoop.Result run(Training<B> training, Backend backend, Collective workers, String version,
            BooleanSupplier stop) {
        LoopSettings config = training.config();
        Workers.requireEnough(config.train(), workers);
        Workers.requireSame(config, TrainingRun.provenance(training, backend, version), workers);
        try (LearningSession<B> session = TrainingRun.session(training, backend, workers)) {
            Checkpoint from = Workers.checkpoint(null, workers);
            long step = from == null ? 1 : from.step() + 1;
            // the first worker's own check is the one that is shown
            TrainLoop<B> loop = TrainingRun
                    .loop(training, session, FirstStepCheck.over(session, training, backend, workers, step, _ -> {
                    }, _ -> {
                    })).saving(config.output().checkpointEvery()).stopping(stop).with(workers);
            if (from != null)
                loop.resume(from);
            return loop.run();
        }
    }
}
