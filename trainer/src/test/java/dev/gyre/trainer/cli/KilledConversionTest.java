package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Model directories that are being made when their process is killed: the directory is not there, or complete; the same
/// command makes it then, and nothing else is left.
@Timeout(value = 20, unit = TimeUnit.MINUTES)
class KilledConversionTest {
    private static final int KILLS = 12;

    @TempDir
    static Path dir;
    private static TinyModel tiny;
    private static Path run;

    @BeforeAll
    static void train() {
        tiny = TinyModel.in(dir, "hidden_size: 96, intermediate_size: 256, heads: 3, kv_heads: 1");
        run = dir.resolve("run");
        for (String method : List.of("oft, block_size: 8", "psoft, r: 4")) {
            Cli c = Cli.gyre("train", config(method), "--set", "output.dir=" + of(method));
            assertThat(c.code).as(c.toString()).isZero();
        }
    }

    private static Path of(String method) {
        return method.startsWith("oft") ? run : dir.resolve("psoft");
    }

    private static Path config(String method) {
        try {
            return Files.writeString(dir.resolve("run.yaml"), """
                    model: {path: %s}
                    adapter: {method: %s}
                    data: {train: %s}
                    train: {steps: 2, seq_len: 32, micro_batch: 2, lr: 1e-2}
                    results: {answers: 0, report: false}
                    output: {dir: x}
                    device: cpu:1
                    """.formatted(tiny.model(), method, tiny.train()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static List<Object> command(String name, Path folder) {
        Path out = folder.resolve("out");
        return switch (name) {
            case "merge" -> List.of("merge", run, "--out", out, "--verify");
            case "quantize" -> List.of("quantize", tiny.model(), "--out", out, "--double-quant");
            case "export" -> List.of("export", dir.resolve("psoft"), "--out", out);
            default -> throw new AssertionError(name);
        };
    }

    @ParameterizedTest
    @ValueSource(strings = {"merge", "quantize", "export"})
    void aKillLeavesNothingOrAllOfIt(String name) throws Exception {
        assumeThat(Path.of("/proc/self/status")).exists();
        Path whole = Files.createDirectories(dir.resolve(name + "-whole"));
        Cli made = Cli.gyre(command(name, whole).toArray());
        assertThat(made.code).as(made.toString()).isZero();
        Map<String, String> expected = files(whole);
        Random random = new Random(20_261_130);
        List<Path> copies = new ArrayList<>();
        int unfinished = 0;
        for (int processes = 0; copies.size() < KILLS; processes++) {
            Path folder = Files.createDirectories(dir.resolve(name + "-" + processes));
            Process p = start(name, folder);
            // before anything is written there is nothing to see
            while (p.isAlive() && files(folder).isEmpty())
                Thread.sleep(1);
            while (p.isAlive() && copies.size() < KILLS) {
                KilledTest.signal(p, "STOP");
                if (KilledTest.isStopped(p)) {
                    Path copy = dir.resolve(name + "-killed-" + copies.size());
                    KilledTest.copy(folder, copy);
                    copies.add(copy);
                    unfinished += Files.exists(copy.resolve("out")) ? 0 : 1;
                }
                KilledTest.signal(p, "CONT");
                Thread.sleep(Duration.ofNanos(random.nextInt(4_000_000)));
            }
            p.destroyForcibly().waitFor();
        }
        for (Path copy : copies) {
            Map<String, String> left = files(copy);
            boolean complete = Files.exists(copy.resolve("out"));
            if (complete)
                assertThat(left).as(name + " killed").containsAllEntriesOf(expected);
            Cli again = Cli.gyre(command(name, copy).toArray());
            if (complete)
                assertThat(again.err).contains("exists already");
            else {
                assertThat(again.code).as("killed with " + left.keySet() + ": " + again).isZero();
                assertThat(files(copy)).as("killed with " + left.keySet()).isEqualTo(expected);
            }
        }
        assertThat(unfinished).as("kills before the end").isPositive();
    }

    private static Process start(String name, Path folder) throws IOException {
        List<String> words = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules", "jdk.incubator.vector", "-XX:+UseSerialGC", "-Xmx300m", "-XX:TieredStopAtLevel=1",
                "-cp", System.getProperty("java.class.path"), "dev.gyre.trainer.cli.Main"));
        command(name, folder).forEach(w -> words.add(w.toString()));
        return new ProcessBuilder(words).redirectErrorStream(true).redirectOutput(dir.resolve(name + ".txt").toFile())
                .start();
    }

    /// Names and contents, folders included; what is deleted while we look is not there.
    private static Map<String, String> files(Path folder) throws IOException {
        Map<String, String> out = new TreeMap<>();
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path p : all.filter(f -> !f.equals(folder)).toList())
                out.put(folder.relativize(p).toString(), Files.isDirectory(p) ? ""
                        : new String(Files.readAllBytes(p), StandardCharsets.ISO_8859_1).replace(folder.toString(),
                                "X"));
        } catch (UncheckedIOException | NoSuchFileException e) {
            return out;
        }
        return out;
    }
}
