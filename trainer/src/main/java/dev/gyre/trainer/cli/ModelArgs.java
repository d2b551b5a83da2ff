package dev.gyre.trainer.cli;

import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.measure.ModelRef;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `MODEL [--adapter DIR]... [--device D]`, for the commands that use a finished model.
final class ModelArgs {
    @Parameters(index = "0", paramLabel = "MODEL",
            description = "Hugging Face model directory, a name of its hub such as Qwen/Qwen3-0.6B, a GGUF file, or a run directory (its base model with the adapter it made).")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path model;

    @Option(names = "--adapter", paramLabel = "DIR",
            description = "Adapter in PEFT layout, or a run directory; may be repeated: the first is nearest to the input.")
    List<Path> adapters = new ArrayList<>();

    @Option(names = "--off", paramLabel = "NAME",
            description = "Leave out an adapter: the name of its directory or run, or its path; may be repeated. The adapter of a run directory has the run's name.")
    List<String> off = new ArrayList<>();

    @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "auto",
            description = "cpu, cpu:THREADS, opencl:N, cuda:N, ptx:N, jvm or auto (default: ${DEFAULT-VALUE}).")
    String device = "auto";

    @Option(names = "--base", paramLabel = "BASE",
            description = "Store the model's weights as as_stored, f32, bf16, nf4 or nf4_double (default: a run's own, else as_stored).")
    @Nullable
    Storage base;

    ModelRef ref() {
        ModelRef r = ModelRef.of(model, adapters).without(off);
        return base == null ? r : new ModelRef(r.model(), r.adapters(), base);
    }
}
