package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.api.RunOptions;
import dev.gyre.api.Runs;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Planning, sweeping and comparing runs with a task, over bases of 4 bits too, and what there is not.
class TaskEverywhereTest {
    private static final Path GOLDEN = Path.of("../model/src/test/resources/golden/tasks");

    @TempDir
    Path dir;
    private Path yaml;

    @BeforeEach
    void run() throws IOException {
        Path images = dir.resolve("train-images-idx3-ubyte");
        TaskCommandsTest.images(images, 40, 3);
        yaml = dir.resolve("run.yaml");
        Files.writeString(yaml, """
                model: {path: %s}
                task: {kind: class}
                adapter: {method: oft, block_size: 8, targets: [q_proj, v_proj]}
                data: {train: %s, valid: %s}
                train: {steps: 3, micro_batch: 4, lr: 3e-3}
                output: {dir: %s, tensorboard: false}
                device: cpu:1
                """.formatted(GOLDEN.resolve("vit-5way"), images, images, dir.resolve("out")));
    }

    @Test
    void aSweepOverMethodsAndBasesIsComparedByItsScores() throws IOException {
        Path sweep = dir.resolve("sweep.yaml");
        Files.writeString(sweep, """
                run: %s
                output: %s
                runs:
                  oft: {adapter.block_size: 8}
                  lora: {adapter.method: lora, adapter.r: 4}
                grid: {model.base: [f32, nf4]}
                """.formatted(yaml, dir.resolve("runs")));
        Cli check = Cli.gyre("check", sweep);
        assertThat(check.code).as(check + check.err).isZero();
        assertThat(check.out).contains("oft-f32", "lora-nf4", "planned", "ok, 4 runs");
        assertThat(Runs.sweep(sweep, RunOptions.DEFAULT)).isEmpty();
        Cli c = Cli.gyre("compare", dir.resolve("runs"), "--all");
        assertThat(c.code).as(c + c.err).isZero();
        assertThat(c.out).contains("accuracy", "matthews", "oft-nf4", "lora-f32").doesNotContain("not finished");
        assertThat(Json.readObject(dir.resolve("runs/oft-nf4/results.json")).path("base").asString()).isEqualTo("nf4");
        // what was measured in training is what the saved adapter gives over the same base
        double accuracy = Json.readObject(dir.resolve("runs/oft-nf4/task.json")).path("after").path("accuracy")
                .doubleValue();
        Cli eval = Cli.gyre("eval", dir.resolve("runs/oft-nf4"), dir.resolve("train-images-idx3-ubyte"), "--device",
                "cpu");
        assertThat(eval.out).contains(String.format(java.util.Locale.ROOT, "accuracy %.4f", accuracy));
        byte[] page = Files.readAllBytes(dir.resolve("runs/oft-nf4/report.html"));
        assertThat(Cli.gyre("report", dir.resolve("runs/oft-nf4")).code).isZero();
        assertThat(dir.resolve("runs/oft-nf4/report.html")).hasBinaryContent(page);
    }

    @Test
    void theLibraryTrainsMeasuresAndChecks() {
        assertThat(Runs.check(yaml, RunOptions.DEFAULT)).contains("kind: class");
        Runs.Outcome run = Runs.train(yaml, RunOptions.DEFAULT);
        assertThat(run.ended().finished()).isTrue();
        assertThat(Objects.requireNonNull(Objects.requireNonNull(run.results()).after().scores()))
                .containsKeys("accuracy", "matthews");
        assertThat(Runs.compare(List.of(run.directory()), Runs.Table.CSV)).contains("accuracy");
        assertThat(run.result()).isDirectory();
    }

    @Test
    void aPlanHasEveryMethodOverEveryBase() {
        Cli c = Cli.gyre("plan", yaml);
        assertThat(c.code).as(c + c.err).isZero();
        for (String method : List.of("oft", "psoft", "goft", "qgoft", "boft", "hra", "lora", "dora", "adalora"))
            assertThat(c.out).containsPattern("(?m)^  " + method + " +nf4_double +\\S+ ");
        assertThat(c.out).containsPattern("(?m)^  full +f32 ").doesNotContain("full       nf4");
    }

    @Test
    void whatIsNotForTasksIsSaidInALine() {
        for (List<Object> words : List.<List<Object>>of(List.of("lr-find", yaml), List.of("data", yaml),
                List.of("plan", yaml, "--limit", "1GB"),
                List.of("quantize", GOLDEN.resolve("bert-3way"), "--out", dir.resolve("q")),
                List.of("init", "--model", GOLDEN.resolve("bert-3way"), "--data", yaml, "--out", "-"),
                List.of("generate", GOLDEN.resolve("bert-3way"), "--prompt", "x"))) {
            Cli c = Cli.gyre(words.toArray());
            assertThat(c.code).as(words + ": " + c).isEqualTo(ExitCode.USAGE);
            assertThat(c.err).as(words.toString()).hasLineCount(1).contains("task");
        }
    }
}
