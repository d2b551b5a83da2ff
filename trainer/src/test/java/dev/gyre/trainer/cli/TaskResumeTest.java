package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.gyre.dist.Collective;
import dev.gyre.dist.Threads;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.run.Follower;
import dev.gyre.trainer.run.TrainingRun;
import dev.gyre.trainer.task.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Runs with a task that are stopped or killed, and go on: they end in every file as the runs that nothing stopped.
class TaskResumeTest {
    private static final Path GOLDEN = Path.of("../model/src/test/resources/golden/tasks");

    @TempDir
    Path dir;

    /// Kinds of runs, which differ in their batches, losses and what is random in them.
    private enum Kind {
        IMAGES("vit-5way", "{kind: class}",
                "{method: oft, block_size: 8, dropout: 0.2, targets: [q_proj, v_proj, fc1]}",
                "flip: true", "micro_batch: 4, accumulate: 3"),
        WHOLE_IMAGES("vit-5way", "{kind: class}", "{method: full}", "flip: false", "micro_batch: 4"),
        CLASSES("bert-3way", "{kind: class}", "{method: lora, r: 4, dropout: 0.3, targets: [query, value]}",
                "text: text", "micro_batch: 3, buckets: [8]"),
        NUMBERS("bert-regression", "{kind: number}", "{method: hra, r: 4, targets: [query, value]}", "text: text",
                "micro_batch: 3"),
        EMBEDDINGS("bert-embedding", "{kind: pairs}",
                "{method: adalora, init_r: 4, target_r: 2, targets: [query, value]}",
                "pair: pair", "micro_batch: 4, accumulate: 2");

        final String model;
        final String task;
        final String adapter;
        final String data;
        final String train;

        Kind(String model, String task, String adapter, String data, String train) {
            this.model = model;
            this.task = task;
            this.adapter = adapter;
            this.data = data;
            this.train = train;
        }

        boolean images() {
            return model.startsWith("vit");
        }
    }

    /// A model with a tokenizer of 55 words.
    private Path model(Kind k) throws IOException {
        Path to = dir.resolve("model");
        Files.createDirectories(to);
        for (String f : List.of("config.json", "model.safetensors"))
            Files.copy(GOLDEN.resolve(k.model).resolve(f), to.resolve(f));
        StringBuilder words = new StringBuilder("\"[PAD]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, \"[UNK]\": 3");
        for (int i = 4; i < 55; i++)
            words.append(", \"w").append(i).append("\": ").append(i);
        if (!k.images())
            Files.writeString(to.resolve("tokenizer.json"), """
                    {"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
                     "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
                     "decoder": null, "model": {"type": "WordLevel", "vocab": {%s}, "unk_token": "[UNK]"}}
                    """.formatted(words));
        return to;
    }

    /// Texts whose first word says the class.
    private static void texts(Path file, int n, long seed) throws IOException {
        Random random = new Random(seed);
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < n; i++) {
            int label = random.nextInt(3);
            StringBuilder text = new StringBuilder("w" + (4 + label));
            for (int w = random.nextInt(12); w > 0; w--)
                text.append(" w").append(10 + random.nextInt(45));
            out.append("{\"text\": \"").append(text).append("\", \"pair\": \"w").append(4 + label).append(" w")
                    .append(10 + random.nextInt(45)).append("\", \"label\": ").append(label).append("}\n");
        }
        Files.writeString(file, out);
    }

    private Path run(Kind k) throws IOException {
        Path train = dir.resolve("train" + (k.images() ? "-images-idx3-ubyte" : ".jsonl"));
        Path valid = dir.resolve("valid" + (k.images() ? "-images-idx3-ubyte" : ".jsonl"));
        if (k.images()) {
            TaskCommandsTest.images(train, 19, 3);
            TaskCommandsTest.images(valid, 7, 4);
        } else {
            texts(train, 19, 3);
            texts(valid, 7, 4);
        }
        Path yaml = dir.resolve("run.yaml");
        Files.writeString(yaml, """
                model: {path: %s}
                task: %s
                adapter: %s
                data: {train: %s, valid: %s, %s}
                train: {steps: 8, seq_len: 16, lr: 3e-3, %s}
                eval: {every: 3, result: best}
                output: {dir: %s, checkpoint_every: 2}
                device: cpu:1
                """.formatted(model(k), k.task, k.adapter, train, valid, k.data, k.train, dir.resolve("whole")));
        return yaml;
    }

    /// Takes steps until `most` are done.
    private static TrainLoop.Result steps(Path yaml, Path out, boolean resume, int most) {
        TaskRunConfig c = ConfigReader.read(yaml, TaskRunConfig.class, List.of("output.dir=" + out));
        Backend backend = new CpuBackend(1);
        TaskTraining t = new TaskTraining(c, backend);
        try (TrainingRun<TaskBatch> run = TrainingRun.open(t, resume, backend, "test")) {
            t.begin(run);
            long[] asked = {run.from() - 1};
            return run.run(List.of(), () -> ++asked[0] >= most);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aRunStoppedTwiceEndsInEveryFileAsTheWholeOne(Kind k) throws IOException {
        Path yaml = run(k);
        Cli whole = Cli.gyre("train", yaml);
        assertThat(whole.code).as(whole + whole.err).isZero();
        Path out = dir.resolve("stopped");
        assertThat(steps(yaml, out, false, 3).finished()).isFalse();
        TrainLoop.Result second = steps(yaml, out, true, 6);
        assertThat(second.finished()).isFalse();
        assertThat(second.step()).isEqualTo(6);
        assertThat(out.resolve("report.html")).doesNotExist();
        Cli last = Cli.gyre("train", yaml, "--set", "output.dir=" + out, "--resume");
        assertThat(last.code).as(last + last.err).isZero();
        Map<String, String> expected = KilledTest.contents(dir.resolve("whole"));
        assertThat(expected).containsKeys("task.json", "metrics.jsonl", "checkpoint-8/trainer_state.safetensors",
                "report.html");
        assertThat(expected.get("task.json")).contains("before", "after");
        assertThat(expected.get("metrics.jsonl")).contains("\"scores\"", "\"grad_norm\"");
        assertThat(KilledTest.contents(out)).isEqualTo(expected);
        assertThat(Files.readString(out.resolve("report.html")))
                .isEqualTo(Files.readString(dir.resolve("whole/report.html")).replace(dir.resolve("whole").toString(),
                        out.toString()));
        // a finished run is measured again, and nothing else
        assertThat(Cli.gyre("train", yaml, "--set", "output.dir=" + out, "--resume").out)
                .contains("the run was complete");
        assertThat(KilledTest.contents(out)).isEqualTo(expected);
    }

    @Test
    void whatAKillLeavesEndsInEveryFileAsTheWholeRun() throws Exception {
        assumeThat(Path.of("/proc/self/status")).exists();
        Path yaml = run(Kind.IMAGES);
        assertThat(Cli.gyre("train", yaml).code).isZero();
        Map<String, String> expected = KilledTest.contents(dir.resolve("whole"));
        Random random = new Random(20_261_130);
        List<Path> copies = new ArrayList<>();
        for (int processes = 0; copies.size() < 8; processes++) {
            Path out = dir.resolve("stopped-" + processes);
            Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "--add-modules", "jdk.incubator.vector", "-XX:+UseSerialGC", "-Xmx300m",
                    "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"),
                    "dev.gyre.trainer.cli.Main", "train", yaml.toString(), "--set", "output.dir=" + out)
                    .redirectErrorStream(true).redirectOutput(dir.resolve("out-" + processes + ".txt").toFile())
                    .start();
            while (p.isAlive() && !Files.exists(out.resolve("run.yaml")))
                Thread.sleep(1);
            while (p.isAlive() && copies.size() < 8) {
                Thread.sleep(Duration.ofNanos(random.nextInt(60_000_000)));
                KilledTest.signal(p, "STOP");
                if (KilledTest.isStopped(p)) {
                    Path copy = dir.resolve("killed-" + copies.size());
                    KilledTest.copy(out, copy);
                    copies.add(copy);
                }
                KilledTest.signal(p, "CONT");
            }
            p.destroyForcibly().waitFor();
        }
        for (Path out : copies) {
            Cli last = Cli.gyre("train", yaml, "--set", "output.dir=" + out, "--resume");
            assertThat(last.code).as(last + last.err).isZero();
            assertThat(KilledTest.contents(out)).isEqualTo(expected);
        }
    }

    @Test
    void aRunIsStoppedByItsFile() throws IOException {
        Path yaml = run(Kind.CLASSES);
        Path out = dir.resolve("whole");
        TaskRunConfig c = ConfigReader.read(yaml, TaskRunConfig.class, List.of());
        Backend backend = new CpuBackend(1);
        TaskTraining t = new TaskTraining(c, backend);
        try (TrainingRun<TaskBatch> run = TrainingRun.open(t, false, backend, "test")) {
            TrainLoop.Result r = run.run(List.of(new TrainListener() {
                @Override
                public void onStep(Step s) {
                    if (s.t() == 2)
                        AtomicFiles.write(out.resolve(".stop"), "");
                }
            }), () -> false);
            assertThat(r.finished()).isFalse();
            assertThat(r.step()).isEqualTo(2);
        }
        Cli other = Cli.gyre("train", yaml, "--resume", "--set", "train.lr=1e-3");
        assertThat(other.err).contains("the run was started with train.lr");
        Cli eval = Cli.gyre("eval", out, dir.resolve("valid.jsonl"), "--device", "cpu");
        assertThat(eval.err).contains("the run is not finished");
    }

    /// Two workers, each with half of a step's micro-batches.
    @ParameterizedTest
    @EnumSource(names = {"IMAGES", "EMBEDDINGS"})
    void twoWorkersTakeTheStepsOfOne(Kind k) throws Exception {
        Path yaml = run(k);
        for (int n = 1; n <= 2; n++) {
            Path out = dir.resolve("workers-" + n);
            try (ExecutorService pool = Executors.newFixedThreadPool(n)) {
                List<Future<TrainLoop.Result>> all = new ArrayList<>();
                for (Collective one : Threads.of(n))
                    all.add(pool.submit(() -> work(yaml, out, one)));
                for (Future<TrainLoop.Result> f : all)
                    assertThat(f.get().finished()).isTrue();
            }
        }
        for (String f : List.of("adapter/adapter_model.safetensors", "checkpoint-8/trainer_state.safetensors",
                "checkpoint-8/trainer_state.json", "task.json"))
            assertThat(dir.resolve("workers-2").resolve(f)).as(f)
                    .hasSameBinaryContentAs(dir.resolve("workers-1").resolve(f));
    }

    private static TrainLoop.Result work(Path yaml, Path out, Collective one) {
        TaskRunConfig c = ConfigReader.read(yaml, TaskRunConfig.class,
                List.of("train.accumulate=4", "output.dir=" + out));
        Backend backend = new CpuBackend(1);
        TaskTraining t = new TaskTraining(c, backend);
        if (one.rank() > 0)
            return Follower.run(t, backend, one, "test", () -> false);
        try (TrainingRun<TaskBatch> run = TrainingRun.open(t, false, backend, "test", one)) {
            t.begin(run);
            TrainLoop.Result r = run.run(List.of(), () -> false);
            t.end(run);
            return r;
        }
    }

    @Test
    void aRunThatGetsNoBetterEndsEarly() throws IOException {
        Path yaml = run(Kind.CLASSES);
        Cli c = Cli.gyre("train", yaml, "--set", "train.lr=0.2", "--set", "train.steps=40", "--set", "eval.every=1",
                "--set", "eval.patience=2", "--set", "train.divergence=0");
        assertThat(c.code).as(c + c.err).isZero();
        assertThat(c.out).contains("stopped early at step");
        try (Stream<Path> tb = Files.list(dir.resolve("whole/tb"))) {
            assertThat(tb).hasSize(1);
        }
    }
}
