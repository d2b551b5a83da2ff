package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// A model of a few thousand weights with its data, made by the commands themselves: `gyre skills` and `gyre pretrain`.
///
/// @param model its directory
/// @param pretraining what `gyre pretrain` showed
public record TinyModel(Path model, Path train, Path valid, Cli pretraining) {
    /// @param dir gets the folders `data` and `base`
    /// @param shape of the model: `hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1`
    public static TinyModel in(Path dir, String shape) {
        Path train = dir.resolve("data/train.jsonl");
        Path valid = dir.resolve("data/valid.jsonl");
        Cli data = Cli.gyre("skills", "--out", dir.resolve("data"), "--train", 40, "--valid", 4);
        assertThat(data.code).as(data.toString()).isZero();
        Path file = dir.resolve("pretrain.yaml");
        try {
            Files.writeString(file, """
                    model: {preset: tiny, %s, context: 64}
                    data: {train: %s, valid: %s}
                    train: {steps: 4, seq_len: 40, micro_batch: 3, lr: 1e-2, warmup: 2}
                    eval: {every: 2}
                    output: {dir: %s, log_every: 1}
                    """.formatted(shape, train, valid, dir.resolve("base")));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Cli c = Cli.gyre("pretrain", file);
        assertThat(c.code).as(c.toString()).isZero();
        return new TinyModel(dir.resolve("base/model"), train, valid, c);
    }
}
