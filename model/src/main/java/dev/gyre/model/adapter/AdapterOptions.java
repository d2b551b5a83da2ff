package dev.gyre.model.adapter;

import dev.gyre.model.weights.Site;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The options of one method, and the modules that it adapts: the section `adapter` of run.yaml, what an adapter is made
/// from, and what PEFT's `adapter_config.json` holds. Each method has one record of them, in its own package.
public non-sealed interface AdapterOptions extends Tuning {
    Targets targets();

    /// The same method on other modules.
    AdapterOptions with(Targets targets);

    /// The options whose keys name single adapted modules (`rank_pattern`), with those keys.
    default Map<String, Set<String>> patterns() {
        return Map.of();
    }

    /// The same for a run, where a method draws something itself or follows a schedule.
    ///
    /// @param steps optimiser steps of the run
    default AdapterOptions inRun(long seed, long steps) {
        return this;
    }

    /// What is done at a module otherwise than the options say, in words; null where nothing is.
    default @Nullable String remark(Site site) {
        return null;
    }

    /// The method's name for people, where one method has several forms.
    default String title() {
        return method();
    }
}
