package dev.gyre.trainer.config;

import dev.gyre.model.adapter.Tuning;
import java.nio.file.Path;
import java.util.List;

/// What every `run.yaml` has that `gyre train` takes, with a section `task` or without.
public interface TuningSettings extends LoopSettings {
    RunConfig.Model model();

    /// What is trained.
    Tuning adapter();

    /// A configuration whose model and data are there.
    ///
    /// @param settings keys that are replaced, `KEY=VALUE`
    static TuningSettings read(Path file, List<String> settings) {
        return ConfigReader.has(file, "task") ? ConfigReader.readWithInputs(file, TaskRunConfig.class, settings)
                : ConfigReader.readWithInputs(file, RunConfig.class, settings);
    }

    /// The configuration in a run directory.
    static TuningSettings of(Path dir) {
        Path file = dir.resolve("run.yaml");
        if (ConfigReader.has(file, "preference"))
            return ConfigReader.read(file, PreferenceRunConfig.class, List.of());
        return ConfigReader.has(file, "task") ? ConfigReader.read(file, TaskRunConfig.class, List.of())
                : ConfigReader.read(file, RunConfig.class, List.of());
    }
}
