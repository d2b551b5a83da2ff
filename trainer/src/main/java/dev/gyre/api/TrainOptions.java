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
    public static TrainOptions steps(int n) {
        return new TrainOptions(Map.of(), 1).with("steps", n);
    }

    /// Passes over the examples.
    public static TrainOptions epochs(double n) {
        return new TrainOptions(Map.of(), 1).with("epochs", n);
    }

    /// @param key of the section `train` of `run.yaml`: `lr`, `seq_len`, `micro_batch`, `accumulate`, `schedule`, ...
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

    /// Seed of the order of the examples (default 1).
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
