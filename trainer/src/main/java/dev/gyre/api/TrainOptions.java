package dev.gyre.api;

import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.Schema;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// How to train: the keys of `train` in `run.yaml`, by their names and with their defaults, and the seed of the order of
/// the examples.
///
/// ```java
/// TrainOptions.steps(300).with("lr", 4e-3).with("micro_batch", 16).with("seq_len", 48).with("warmup", 20)
/// ```
public final class TrainOptions {
    private final Map<String, Object> given;
    private final long seed;

    private TrainOptions(Map<String, Object> given, long seed) {
        this.given = given;
        this.seed = seed;
    }

    /// That many optimiser steps.
    ///
    /// @param n steps
    /// @return options with all other keys at their defaults
    public static TrainOptions steps(int n) {
        return new TrainOptions(Map.of(), 1).with("steps", n);
    }

    /// Passes over the examples.
    ///
    /// @param n passes; a part of one is possible
    /// @return options with all other keys at their defaults
    public static TrainOptions epochs(double n) {
        return new TrainOptions(Map.of(), 1).with("epochs", n);
    }

    /// These options with one key set.
    ///
    /// @param key of the section `train` of `run.yaml`: `lr`, `seq_len`, `micro_batch`, `accumulate`, `schedule`, ...
    /// @param value as `run.yaml` takes it
    /// @return the new options; these do not change
    /// @throws dev.gyre.trainer.config.ConfigException for an unknown key
    public TrainOptions with(String key, Object value) {
        Map<String, Object> m = new LinkedHashMap<>(given);
        m.put(key, value);
        TrainOptions all = new TrainOptions(m, seed);
        if (!Schema.has(RunConfig.Train.class, key))
            // a value may fit once further keys are given, a key that does not exist never does; this says which ones do
            all.train();
        return all;
    }

    /// These options with another seed of the order of the examples (by default 1).
    ///
    /// @param s the seed
    /// @return the new options; these do not change
    public TrainOptions seed(long s) {
        return new TrainOptions(given, s);
    }

    long seed() {
        return seed;
    }

    /// @throws dev.gyre.trainer.config.ConfigException for a value that does not fit
    RunConfig.Train train() {
        StringBuilder yaml = new StringBuilder();
        given.forEach((key, value) -> yaml.append(key).append(": ").append(value).append('\n'));
        return ConfigReader.parse("train options", yaml.toString(), RunConfig.Train.class, List.of());
    }
}
