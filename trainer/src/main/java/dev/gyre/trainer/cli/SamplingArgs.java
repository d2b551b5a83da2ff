package dev.gyre.trainer.cli;

import dev.gyre.model.transformer.Sampler;
import picocli.CommandLine.Option;

/// `[--temperature X] [--top-p X] [--seed N]`, for the commands that draw tokens.
final class SamplingArgs {
    @Option(names = "--temperature", defaultValue = "0", paramLabel = "X",
            description = "0: the likeliest token each time; higher: more varied (default: ${DEFAULT-VALUE}).")
    double temperature;

    @Option(names = "--top-p", defaultValue = "1", paramLabel = "X",
            description = "Draw only from the likeliest tokens that make up this share (default: ${DEFAULT-VALUE}).")
    double topP;

    @Option(names = "--seed", defaultValue = "1", description = "Default: ${DEFAULT-VALUE}.")
    long seed;

    /// Over logits of `vocabulary` tokens.
    Sampler sampler(int vocabulary) {
        return new Sampler(vocabulary, temperature, topP, seed);
    }
}
