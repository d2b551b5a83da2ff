package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.api.RunOptions;
import dev.gyre.api.Runs;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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
    void theLargestBatchAndTheRateAreFound() {
        Cli plan = Cli.gyre("plan", yaml, "--limit", "1TB");
        assertThat(plan.code).as(plan + plan.err).isZero();
        assertThat(plan.out).contains("within 1TB: train.micro_batch 40 (all examples)");
        assertThat(Cli.gyre("plan", yaml, "--limit", "1MB").out).contains("within 1MB: no micro_batch fits");
        assertThat(Runs.largestBatch(yaml, RunOptions.DEFAULT, 1L << 40)).isEqualTo(40);
        Cli find = Cli.gyre("lr-find", yaml, "--steps", "12", "--from", "1e-4", "--to", "1e-1");
        assertThat(find.code).as(find + find.err).isZero();
        assertThat(find.out).contains("1.00e-04", "averaged");
        assertThat(dir.resolve("out")).doesNotExist();
    }

    @Test
    void aPartOfTheExamplesIsHeldOutAndTheReportShowsTheSame() throws IOException {
        Cli c = Cli.gyre("train", yaml, "--set", "data.valid=20%");
        assertThat(c.code).as(c + c.err).isZero();
        assertThat(c.out).contains("32 images", "8 images");
        byte[] page = Files.readAllBytes(dir.resolve("out/report.html"));
        assertThat(Cli.gyre("report", dir.resolve("out")).code).isZero();
        assertThat(dir.resolve("out/report.html")).hasBinaryContent(page);
        Cli all = Cli.gyre("check", yaml, "--set", "data.valid=40");
        assertThat(all.err).contains("data.valid takes 40 of its 40 examples");
        assertThat(Cli.gyre("check", yaml, "--set", "data.valid=0").err).contains("must be above 0 %");
    }

    @Test
    void aRunIsDraftedFromTheColumns() throws IOException {
        Path model = TinyEncoder.in("bert-embedding", dir.resolve("model"));
        StringBuilder s = new StringBuilder("id;Review;Sentiment\n");
        for (int i = 0; i < 40; i++)
            s.append(i).append(";good film ").append(i % 9).append(i % 3 == 0 ? ";yes\n" : ";no\n");
        Path data = Files.writeString(dir.resolve("reviews.csv"), s);
        Path file = dir.resolve("draft.yaml");
        Cli c = Cli.gyre("init", "--model", model, "--data", data, "--out", file, "--set", "output.dir="
                + dir.resolve("drafted"), "--set", "train.epochs=1");
        assertThat(c.code).as(c + c.err).isZero();
        assertThat(c.out).contains("40 examples, 2 labels", "start it: gyre train " + file);
        assertThat(Files.readString(file)).contains("kind: class", "text: Review", "label: Sentiment", "valid: \"10%\"",
                "block_size: 8", "# held out of the training examples");
        Cli train = Cli.gyre("train", file);
        assertThat(train.code).as(train + train.err).isZero();
        assertThat(dir.resolve("drafted/report.html")).exists();
    }

    private String kind(String name, String rows) throws IOException {
        Path model = dir.resolve("model");
        if (!Files.exists(model))
            TinyEncoder.in("bert-embedding", model);
        Cli c = Cli.gyre("init", "--model", model, "--data", Files.writeString(dir.resolve(name), rows), "--out", "-");
        assertThat(c.code).as(c + c.err).isZero();
        return c.out.lines().filter(l -> l.startsWith("  kind: ") || l.startsWith("  pair: ")).map(String::strip)
                .collect(Collectors.joining(" "));
    }

    @Test
    void theKindOfATaskIsToldByItsLabels() throws IOException {
        assertThat(kind("a.jsonl",
                "{\"text\": \"a\", \"labels\": [\"x\", \"y\"]}\n{\"text\": \"b\", \"labels\": [\"x\"]}"))
                .isEqualTo("kind: labels");
        assertThat(kind("b.jsonl", "{\"tokens\": [\"a\", \"b\"], \"tags\": [\"O\", \"B\"]}")).isEqualTo("kind: tokens");
        assertThat(kind("c.csv", "sentence1,sentence2,score\na,b,0.5\nc,d,4.2\n"))
                .isEqualTo("kind: number pair: sentence2");
        assertThat(kind("d.csv", "anchor,positive\na,b\nc,d\n")).isEqualTo("kind: pairs pair: positive");
        assertThat(kind("e.csv", "premise,hypothesis,label\na,b,0\nc,d,2\n"))
                .isEqualTo("kind: class pair: hypothesis");
        Files.writeString(dir.resolve("model/modules.json"), "[]");
        assertThat(kind("f.csv", "text,text2,similarity\na,b,0.5\nc,d,1\n"))
                .isEqualTo("kind: similarity pair: text2");
        Cli c = Cli.gyre("init", "--model", dir.resolve("model"), "--data",
                Files.writeString(dir.resolve("g.csv"), "a,b\nx,y\n"), "--out", "-");
        assertThat(c.err).contains("has the columns a, b; name the one with the text: --set data.text=COLUMN");
    }

    @ParameterizedTest
    @ValueSource(strings = {"{method: oft, block_size: 8, targets: [q_proj, v_proj, fc1]}",
        "{method: lora, r: 4, targets: [q_proj, v_proj, fc1]}"})
    void aMergedAdapterIsTakenOutAgain(String adapter) {
        ok("train", yaml, "--set", "adapter=" + adapter, "--set", "train.steps=6", "--set", "train.lr=3e-2");
        Path merged = dir.resolve("merged");
        Path undone = dir.resolve("undone");
        ok("merge", dir.resolve("out"), "--out", merged, "--device", "cpu");
        Cli c = ok("merge", merged, "--undo", "--adapter", dir.resolve("out"), "--out", undone, "--device", "cpu");
        assertThat(c.out + c.err).contains("6 weights without the adapter",
                "brought whole stays as it is: classifier.");
        try (SafeTensors was = SafeTensors.open(GOLDEN.resolve("vit-5way/model.safetensors"));
                SafeTensors is = SafeTensors.open(undone.resolve("model.safetensors"));
                SafeTensors trained = SafeTensors.open(merged.resolve("model.safetensors"))) {
            double moved = 0;
            for (String n : was.names()) {
                if (n.startsWith("classifier"))
                    continue;
                float[] a = was.f32(n);
                float[] b = is.f32(n);
                float[] m = trained.f32(n);
                assertThat(b).as(n).containsExactly(a, Offset.offset(1e-5f));
                for (int i = 0; i < a.length; i++)
                    moved = Math.max(moved, Math.abs(m[i] - a[i]));
            }
            assertThat(moved).isGreaterThan(1e-3);
        }
    }

    private static Cli ok(Object... words) {
        Cli c = Cli.gyre(words);
        assertThat(c.code).as(c + c.err).isZero();
        return c;
    }

    @ParameterizedTest
    @ValueSource(strings = {"nf4", "nf4_double"})
    void aQuantisedEncoderIsTheOneThatIsQuantisedWhenRead(String base) throws IOException {
        Path model = TinyEncoder.in("bert-3way", dir.resolve("model"));
        Path small = dir.resolve("small");
        Cli q = base.equals("nf4") ? ok("quantize", model, "--out", small)
                : ok("quantize", model, "--out", small, "--double-quant");
        assertThat(q.out).contains("12 linear layers in 4 bits");
        assertThat(Json.readObject(small.resolve("config.json")).path("quantization_config")
                .path("llm_int8_skip_modules").toString()).contains("\"classifier\"", "\"bert.pooler.dense\"")
                .doesNotContain("attention");
        Path tokens = Files.writeString(dir.resolve("in.json"),
                "{\"input_ids\": [[2, 5, 9, 3], [2, 7, 3, 0]], \"attention_mask\": [[1, 1, 1, 1], [1, 1, 1, 0]],"
                        + " \"labels\": [1, 2]}");
        ok("logits", model, "--base", base, "--tokens", tokens, "--out", dir.resolve("a.st"), "--device", "cpu");
        ok("logits", small, "--tokens", tokens, "--out", dir.resolve("b.st"), "--device", "cpu");
        assertThat(Files.mismatch(dir.resolve("a.st"), dir.resolve("b.st"))).isEqualTo(-1);
        // and other than in 32 bits
        ok("logits", model, "--tokens", tokens, "--out", dir.resolve("c.st"), "--device", "cpu");
        assertThat(Files.mismatch(dir.resolve("a.st"), dir.resolve("c.st"))).isNotEqualTo(-1);
        assertThat(Cli.gyre("quantize", small, "--out", dir.resolve("twice")).err)
                .contains("is quantised already; start from the model in 16 or 32 bits");
    }

    @Test
    void aQuantisedEncoderIsTrainedMergedAndUsed() throws IOException {
        Path small = dir.resolve("small");
        ok("quantize", TinyEncoder.in("bert-embedding", dir.resolve("model")), "--out", small);
        Files.copy(dir.resolve("model/tokenizer.json"), small.resolve("tokenizer.json"),
                StandardCopyOption.REPLACE_EXISTING);
        StringBuilder rows = new StringBuilder("text,label\n");
        for (int i = 0; i < 24; i++)
            rows.append(i % 2 == 0 ? "good film " : "bad film ").append(i % 9).append(i % 2 == 0 ? ",yes\n" : ",no\n");
        Path data = Files.writeString(dir.resolve("d.csv"), rows);
        Path run = dir.resolve("run");
        Path file = Files.writeString(dir.resolve("q.yaml"), """
                model: {path: %s}
                task: {kind: class}
                adapter: {method: lora, r: 2, targets: [query, value]}
                data: {train: %s, valid: %s}
                train: {steps: 6, seq_len: 16, micro_batch: 8, lr: 1e-2}
                output: {dir: %s}
                device: cpu
                """.formatted(small, data, data, run));
        assertThat(ok("plan", file).out).containsPattern("oft +f32 +not possible: .*stored in 4 bits")
                .containsPattern("(?m)^  oft +nf4 +\\S+ ");
        ok("train", file);
        Path merged = dir.resolve("merged");
        ok("merge", run, "--out", merged, "--device", "cpu");
        String trained = ok("classify", run, "good film 1", "--json", "--device", "cpu").out;
        assertThat(trained).contains("\"yes\"");
        // queries and values in 32 bits now, the others in 4 as before
        assertThat(Json.readObject(merged.resolve("config.json")).path("quantization_config")
                .path("llm_int8_skip_modules").toString()).contains("attention.self.query", "attention.self.value")
                .doesNotContain("attention.self.key");
        double was = Json.MAPPER.readTree(trained).path("scores").path("yes").doubleValue();
        double is = Json.MAPPER.readTree(ok("classify", merged, "good film 1", "--json", "--device", "cpu").out)
                .path("scores").path("yes").doubleValue();
        assertThat(is).isCloseTo(was, Offset.offset(1e-5));
        assertThat(Files.size(small.resolve("model.safetensors")))
                .isLessThan(Files.size(dir.resolve("model/model.safetensors")));
    }

    @Test
    void whatIsNotForTasksIsSaidInALine() {
        for (List<Object> words : List.<List<Object>>of(List.of("data", yaml),
                List.of("plan", yaml, "--workers", "2"),
                List.of("generate", GOLDEN.resolve("bert-3way"), "--prompt", "x"))) {
            Cli c = Cli.gyre(words.toArray());
            assertThat(c.code).as(words + ": " + c).isEqualTo(ExitCode.USAGE);
            assertThat(c.err).as(words.toString()).hasLineCount(1).contains("task");
        }
    }
}
