package dev.gyre.trainer.cli;

import dev.gyre.trainer.run.ModelRef;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `MODEL [--adapter DIR]... [--device D]`, for the commands that use a finished model.
final class ModelArgs {
    @Parameters(index = "0", paramLabel = "MODEL",
            description = "Hugging Face model directory, or a run directory (its base model with the adapter it made).")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path model;

    @Option(names = "--adapter", paramLabel = "DIR",
            description = "Adapter in PEFT layout, or a run directory; may be repeated: the first is nearest to the input.")
    List<Path> adapters = new ArrayList<>();

    @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "auto",
            description = "cpu, cpu:THREADS, opencl:N, cuda:N, ptx:N, jvm or auto (default: ${DEFAULT-VALUE}).")
    String device = "auto";

    ModelRef ref() {
        return ModelRef.of(model, adapters);
    }
}
