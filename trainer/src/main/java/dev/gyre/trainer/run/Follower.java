package dev.gyre.trainer.run;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.trainer.config.RunSettings;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.loop.TrainLoop;
import java.util.Set;
import java.util.function.BooleanSupplier;

/// A worker of a run other than the first: takes the steps of a [TrainingRun] without a directory, a log or listeners.
public final class Follower {
    private Follower() {
    }

    /// Trains until the first worker's run ends.
    ///
    /// @param version of Gyre
    /// @param stop asked after each step; true on any worker ends the run
    public static TrainLoop.Result run(RunSettings config, Trained trained, RunData data, Backend backend,
            Collective workers, String version, BooleanSupplier stop) {
        Workers.requireEnough(config.train(), workers);
        Workers.requireSame(config, TrainingRun.inputs(config, trained), version, workers);
        try (TrainSession session = new TrainSession(trained.model(), backend, RunData.shapes(config.train()),
                trained.full(), config.train().uses(), config.seed(), Workers.share(config.train(), workers))) {
            Checkpoint from = Workers.checkpoint(null, workers);
            TrainLoop loop = new TrainLoop(checked(config, trained, session, backend), data, config.train())
                    .evaluating(config.eval().every(), config.eval().patience())
                    .saving(config.output().checkpointEvery()).stopping(stop).with(workers);
            if (from != null)
                loop.resume(from);
            return loop.run();
        }
    }

    private static Trainable checked(RunSettings config, Trained trained, TrainSession session, Backend backend) {
        if (!config.checkDevice() || backend instanceof CpuBackend)
            return session;
        return new FirstStepCheck(session, backend.name(), backend.precision(),
                () -> new TrainSession(trained.model(), new CpuBackend(), RunData.shapes(config.train()),
                        trained.full(), Set.of(TrainSession.Use.TRAIN), config.seed(), config.train().accumulate()),
                _ -> {
                });
    }
}
