package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.report.Results;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/// What a run says of its validation loss, on a model whose loss PyTorch has measured.
class ValidationTest {
    private static final Path CASE = Path.of("src/test/resources/validation");
    /// transformers 5.18 on all 449 tokens of the 50 examples.
    private static final double PYTORCH = 5.99965;

    @TempDir
    Path dir;

    private Path config(String method) throws IOException {
        Path file = dir.resolve("run.yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {%s}
                data: {train: %s, valid: %s, packing: false, shuffle: false}
                train: {steps: 1, seq_len: 40, micro_batch: 4, lr: 0, divergence: 0}
                eval: {every: 1}
                results: {answers: 0, report: false}
                output: {dir: %s, checkpoint_every: 0, tensorboard: false}
                device: cpu:1
                """.formatted(CASE.resolve("base"), method, CASE.resolve("d.jsonl"), CASE.resolve("d.jsonl"),
                dir.resolve("out")));
        return file;
    }

    private Cli train(Path file, String out, String... set) {
        Object[] words = new Object[4 + 2 * set.length];
        words[0] = "train";
        words[1] = file;
        words[2] = "--set";
        words[3] = "output.dir=" + dir.resolve(out);
        for (int i = 0; i < set.length; i++) {
            words[4 + 2 * i] = "--set";
            words[5 + 2 * i] = set[i];
        }
        return Cli.gyre(words);
    }

    private JsonNode evaluation(String run) {
        return Metrics.read(dir.resolve(run).resolve("metrics.jsonl")).with("valid_loss").getFirst();
    }

    private Results results(String run) {
        return Objects.requireNonNull(Results.read(dir.resolve(run)));
    }

    @Test
    void theLossIsThatOfAllExamplesWhateverTheMicroBatch() throws IOException {
        Path file = config("method: lora, r: 4");
        for (int b : new int[] {1, 4}) {
            Cli c = train(file, "b" + b, "train.micro_batch=" + b);
            assertThat(c.code).as(c.toString()).isZero();
            assertThat(evaluation("b" + b).path("valid_loss").doubleValue()).isCloseTo(PYTORCH, within(1e-5));
            assertThat(evaluation("b" + b).path("valid_tokens").longValue()).isEqualTo(449);
            assertThat(results("b" + b).before().loss()).isCloseTo(PYTORCH, within(1e-5));
            assertThat(results("b" + b).after().loss()).isCloseTo(PYTORCH, within(1e-5));
            assertThat(c.out).contains("valid     50 examples · 449 trained tokens\n")
                    .contains("best validation 5.9996 at step 1");
        }
        Matcher eval = Pattern.compile("loss ([0-9.]+) .* 449 tokens of 50 examples")
                .matcher(Cli.gyre("eval", CASE.resolve("base"), CASE.resolve("d.jsonl")).out);
        assertThat(eval.find()).isTrue();
        assertThat(Double.parseDouble(eval.group(1))).isCloseTo(PYTORCH, within(1e-5));
    }

    @Test
    void aSampleIsCalledOneAndTheClosingTableIsOfAll() throws IOException {
        Path file = config("method: lora, r: 4");
        Cli c = train(file, "cut", "eval.batches=3");
        assertThat(c.code).as(c.toString()).isZero();
        long tokens = evaluation("cut").path("valid_tokens").longValue();
        assertThat(tokens).isBetween(12L, 440L);
        assertThat(c.out).contains("449 trained tokens · while training a sample of " + tokens
                + " tokens (eval.batches 3)").contains("best validation (sample) ");
        assertThat(results("cut").before().loss()).isCloseTo(PYTORCH, within(1e-5));
        assertThat(results("cut").after().loss()).isCloseTo(PYTORCH, within(1e-5));
        assertThat(train(file, "again", "eval.batches=3").code).isZero();
        assertThat(evaluation("again").path("valid_loss")).isEqualTo(evaluation("cut").path("valid_loss"));
    }

    @Test
    void aRunThatIsWorseThanItsBaseSaysSo() throws IOException {
        Path file = config("method: lora, r: 4");
        Cli good = train(file, "good", "train.lr=1e-2", "train.steps=3");
        assertThat(good.err).doesNotContain("warning");
        Cli worse = train(file, "worse", "train.lr=300");
        assertThat(worse.code).as(worse.toString()).isZero();
        assertThat(worse.err).as(worse.toString())
                .contains("warning: no evaluation came below the base model: its loss on data.valid is"
                        + " 5.9996, the best validation ");
    }

    @Test
    void aWarmUpAsLongAsTheRunIsRefusedHoweverTheLengthIsGiven() throws IOException {
        Path file = config("method: lora, r: 4");
        for (String[] set : List.of(new String[] {"train.warmup=13", "train.steps=null", "train.epochs=1"},
                new String[] {"train.warmup=500", "train.steps=null", "train.epochs=1"},
                new String[] {"train.warmup=500", "train.steps=null"},
                new String[] {"train.warmup=3", "train.steps=3"})) {
            Cli c = train(file, "never", set);
            assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.USAGE);
            assertThat(c.err).containsPattern("warmup [0-9]+ is as long as the run or longer");
            assertThat(dir.resolve("never")).doesNotExist();
        }
        Cli c = train(file, "long", "train.warmup=12", "train.steps=null", "train.epochs=1");
        assertThat(c.code).as(c.toString()).isZero();
    }

    @Test
    void adaptersAndCheckpointsWithNaNAreRefused() throws IOException {
        Path file = config("method: lora, r: 4");
        assertThat(train(file, "out").code).isZero();
        Path run = dir.resolve("out");
        Path weights = run.resolve("adapter/adapter_model.safetensors");
        poison(weights);
        Path base = CASE.resolve("base");
        for (Cli c : List.of(
                Cli.gyre("merge", base, "--adapter", run.resolve("adapter"), "--out", dir.resolve("merged")),
                Cli.gyre("eval", base, CASE.resolve("d.jsonl"), "--adapter", run.resolve("adapter")),
                Cli.gyre("generate", run, "-p", "a =", "-n", 2))) {
            assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.USAGE);
            assertThat(c.err).contains(weights + ": tensor '").contains("holds NaN");
        }
        assertThat(dir.resolve("merged")).doesNotExist();
        poison(run.resolve("checkpoint-1/trainer_state.safetensors"));
        Cli resumed = Cli.gyre("train", run.resolve("run.yaml"), "--resume", "--set", "train.steps=2");
        assertThat(resumed.code).as(resumed.toString()).isEqualTo(ExitCode.USAGE);
        assertThat(resumed.err).contains("checkpoint-1/trainer_state.safetensors: 'v' holds NaN");
    }

    /// Makes the last value NaN.
    private static void poison(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putFloat(bytes.length - 4, Float.NaN);
        Files.write(file, bytes);
    }

    @Test
    void damagedResultsAreNamedAndMeasuredAgain() throws IOException {
        Path file = config("method: lora, r: 4");
        assertThat(train(file, "out").code).isZero();
        Path run = dir.resolve("out");
        Path results = run.resolve("results.json");
        String whole = Files.readString(results);
        for (String text : List.of("", "{", whole.substring(0, whole.length() / 2), "[]", "{}", "null",
                whole.replace("\"steps\": 1", "\"steps\": {}"), whole.replace("\"steps\": 1", "\"steps\": 1e400"),
                whole.replaceAll("\"before\": \\{[^}]*}", "\"before\": null"),
                whole.replace("\"loss\"", "\"loss\": [], \"other\""))) {
            Files.writeString(results, text);
            for (String command : List.of("report", "compare")) {
                Cli c = Cli.gyre(command, run);
                assertThat(c.code).as(command + text + c).isEqualTo(ExitCode.USAGE);
                assertThat(c.err.lines().toList()).singleElement().asString()
                        .startsWith("gyre: " + results + ": is damaged (").contains("gyre train --resume");
            }
        }
        Files.writeString(results, whole.replaceAll("\"step_seconds\": [^,]*", "\"step_seconds\": NaN"));
        assertThat(Cli.gyre("compare", run).code).isZero();
        assertThat(Cli.gyre("report", run).code).isZero();
        Files.writeString(results, whole.substring(0, 40));
        assertThat(Cli.gyre("train", run.resolve("run.yaml"), "--resume").code).isZero();
        assertThat(results("out").before().loss()).isCloseTo(PYTORCH, within(1e-5));
    }
}
