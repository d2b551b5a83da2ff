package dev.gyre.trainer.config;

import dev.gyre.kernels.Precision;
import org.jspecify.annotations.Nullable;

/// What `run.yaml` and `pretrain.yaml` have in common: data, schedule, evaluation, output and device.
public sealed interface RunSettings permits RunConfig, PretrainConfig {
    RunConfig.Data data();

    RunConfig.Train train();

    RunConfig.Eval eval();

    RunConfig.Output output();

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
