package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.api.RunOptions;
import dev.gyre.api.Runs;
import dev.gyre.trainer.record.Metrics;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Runs on data in several files, under other names, held out in part, in memory and from a file of tokens.
@Timeout(value = 20, unit = TimeUnit.MINUTES)
class DataRunTest {
    @TempDir
    static Path dir;
    private static Path base;
    private static Path data;

    @BeforeAll
    static void modelAndData() throws IOException {
        base = TinyModel.in(dir.resolve("tiny"), "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1")
                .model();
        data = Files.createDirectory(dir.resolve("folder"));
        StringBuilder csv = new StringBuilder("question,answer\n");
        StringBuilder json = new StringBuilder("[\n");
        for (int i = 0; i < 40; i++) {
            csv.append("double ").append(i).append(" = ,").append(2 * i).append('\n');
            json.append(i == 0 ? "" : ",\n").append("{\"question\": \"half %d = \", \"answer\": \"%d\"}"
                    .formatted(2 * i, i));
        }
        Files.writeString(data.resolve("a.csv"), csv);
        Files.writeString(data.resolve("b.json"), json.append("\n]\n"));
    }

    private static Path config(String run) throws IOException {
        Path file = dir.resolve(run + ".yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 8, dropout: 0.1}
                data: {train: %s, valid: 20%%, keys: {prompt: question, completion: answer}, cache: %s}
                train: {steps: 8, seq_len: 32, micro_batch: 2, lr: 1e-2}
                eval: {every: 4, samples: 2}
                results: {answers: 5, report: true}
                output: {dir: %s, checkpoint_every: 2, log_every: 1}
                device: cpu:1
                """.formatted(base, data, dir.resolve("cache-" + run),
                dir.resolve(run)));
        return file;
    }

    private static void same(String a, String b) {
        assertThat(dir.resolve(a).resolve("adapter/adapter_model.safetensors"))
                .hasSameBinaryContentAs(dir.resolve(b).resolve("adapter/adapter_model.safetensors"));
        assertThat(losses(a)).isEqualTo(losses(b));
        assertThat(dir.resolve(a).resolve("held-out.txt")).hasSameTextualContentAs(
                dir.resolve(b).resolve("held-out.txt"));
    }

    private static List<String> losses(String run) {
        Metrics m = Metrics.read(dir.resolve(run).resolve("metrics.jsonl"));
        List<String> out = new ArrayList<>();
        m.with("loss").forEach(n -> out.add(n.path("step") + " " + n.path("loss") + " " + n.path("grad_norm")));
        m.with("valid_loss").forEach(n -> out.add(n.path("step") + " " + n.path("valid_loss")));
        return out;
    }

    @Test
    void aRunFromAFileOfTokensIsTheRunInMemoryAlsoAfterAStop() throws IOException {
        Cli c = Cli.gyre("train", config("memory"));
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out).contains("data      64 examples", "valid     16 examples");
        assertThat(dir.resolve("cache-memory")).doesNotExist();
        assertThat(Files.readAllLines(dir.resolve("memory/held-out.txt"))).hasSize(17)
                .first().asString().contains("data.valid 20%, seed 1, 16 of 80 examples");
        Cli file = Cli.gyre("train", config("file"), "--set", "data.memory=0");
        assertThat(file.code).as(file.toString()).isZero();
        assertThat(dir.resolve("cache-file")).isDirectory();
        same("memory", "file");
        AtomicInteger asked = new AtomicInteger();
        Runs.Outcome stopped = Runs.train(config("stopped"),
                RunOptions.DEFAULT.with("data.memory", 0).stopping(() -> asked.incrementAndGet() > 5));
        assertThat(stopped.ended().finished()).isFalse();
        Cli again = Cli.gyre("train", dir.resolve("stopped/run.yaml"), "--resume", "--set", "data.memory=256");
        assertThat(again.code).as(again.toString()).isZero();
        same("memory", "stopped");
        assertThat(Files.readString(dir.resolve("file/report.html"))).contains("\"answered\":[{\"step\":4",
                "double ");
    }

    @Test
    void everyCommandReadsTheSameData() throws IOException {
        Path file = config("commands");
        Cli shown = Cli.gyre("data", file, "--show", 1);
        assertThat(shown.out).contains("example 1 \u00b7 " + data.resolve("a.csv") + " line ", "64 examples of 64",
                "16 examples of 16");
        assertThat(Cli.gyre("check", file).out).contains("data      64 examples", file + ": ok");
        assertThat(Cli.gyre("plan", file).code).isZero();
        Cli eval = Cli.gyre("eval", base, data, "--keys", "prompt=question", "--keys", "completion=answer", "--exact",
                3);
        assertThat(eval.code).as(eval.toString()).isZero();
        assertThat(eval.out).contains("of 80 examples", "exact answers 0 of 3");
        assertThat(Cli.gyre("eval", base, data).err).contains("a.csv:2: has none of: text;",
                "data.keys maps other names (keys here: question, answer)");
        Cli gone = Cli.gyre("check", file, "--set", "data.train=" + dir.resolve("none/*.csv"));
        assertThat(gone.code).isEqualTo(2);
        assertThat(gone.err).contains("'data.train': ", "matches no file");
    }

    @Test
    void aFileThatIsAddedToAFolderEndsResuming() throws IOException {
        Path file = config("changed");
        assertThat(Cli.gyre("train", file, "--set", "train.steps=2", "--set", "results.report=false").code).isZero();
        Path more = data.resolve("c.jsonl");
        Files.writeString(more, "{\"text\": \"more\"}\n");
        try {
            Cli c = Cli.gyre("train", file, "--set", "train.steps=4", "--resume");
            assertThat(c.code).as(c.toString()).isEqualTo(2);
            assertThat(c.err).contains("c.jsonl: was not among the data when the run in ");
        } finally {
            Files.delete(more);
        }
    }

    /// Forty megabytes of text are as many tokens, which take four times that in memory.
    @Test
    void dataLargerThanTheHeapTrain() throws Exception {
        larger(40, "-Xmx128m");
    }

    @Test
    @Tag("slow")
    void dataMuchLargerThanTheHeapTrain() throws Exception {
        larger(400, "-Xmx256m");
    }

    private static void larger(int megabytes, String heap) throws Exception {
        Path file = dir.resolve("large-" + megabytes + ".jsonl");
        try (BufferedWriter w = Files.newBufferedWriter(file)) {
            String answer = "abcdefghijklmnopqrstuvwxyz ".repeat(30);
            for (long n = 0, i = 0; n < megabytes * 1_000_000L; i++) {
                String line = "{\"prompt\":\"" + i + "\",\"completion\":\"" + answer.substring((int) (i % 500))
                        + "\"}\n";
                w.write(line);
                n += line.length();
            }
        }
        Path run = dir.resolve("large-" + megabytes);
        ProcessBuilder b = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules", "jdk.incubator.vector", "-XX:+UseSerialGC", heap, "-cp",
                System.getProperty("java.class.path"), "dev.gyre.trainer.cli.Main", "train",
                config("large-" + megabytes).toString(), "--set", "data.train=" + file, "--set",
                "data.valid=64", "--set", "data.keys={}", "--set",
                "train.seq_len=64", "--set", "train.steps=3", "--set", "results.answers=0", "--set", "eval.samples=0",
                "--set", "eval.batches=2");
        Path out = dir.resolve("large-" + megabytes + ".txt");
        Process p = b.redirectErrorStream(true).redirectOutput(out.toFile()).start();
        assertThat(p.waitFor(15, TimeUnit.MINUTES)).isTrue();
        assertThat(p.exitValue()).as(Files.readString(out)).isZero();
        assertThat(run.resolve("adapter/adapter_model.safetensors")).exists();
        Files.delete(file);
    }
}
