package dev.gyre.trainer.config;

import dev.gyre.kernels.Precision;
import org.jspecify.annotations.Nullable;

/// What every configuration of a run has, whatever it trains: schedule, output and device.
public interface LoopSettings {
    RunConfig.Train train();

    RunConfig.Output output();

    /// Steps between evaluations; 0: only at the end.
    int evaluateEvery();

    /// Evaluations without a new best after which the run ends; 0: never.
    int patience();

    /// What becomes the result.
    RunConfig.Result result();

    String device();

    /// Null: as suits the device and the base model.
    @Nullable
    Precision precision();

    /// Whether a device other than the CPU must take the first step as the CPU does.
    boolean checkDevice();

    long seed();

    /// The same as a record, for [ConfigWriter] and [ConfigReader].
    default Record record() {
        return (Record) this;
    }
}
