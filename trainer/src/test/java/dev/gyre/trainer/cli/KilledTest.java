package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.gyre.model.files.Json;
import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Processes that are really killed, and really get signals. Limits of time only end what hangs.
@Timeout(value = 20, unit = TimeUnit.MINUTES)
class KilledTest {
    private static final int STEPS = 60;
    @TempDir
    static Path dir;
    private static Path file;

    @BeforeAll
    static void makeTheModel() throws IOException {
        Path data = dir.resolve("data");
        assertThat(Cli.gyre("skills", "--out", data, "--train", 40, "--valid", 4).code).isZero();
        Cli c = Cli.gyre("pretrain", "--preset", "tiny", "--data", data.resolve("train.jsonl"), "--out",
                dir.resolve("base"), "--set", "train.steps=1", "--set", "train.seq_len=32");
        assertThat(c.code).as(c.toString()).isZero();
        file = dir.resolve("run.yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 8, dropout: 0.2}
                data: {train: %s, valid: %s}
                train: {steps: %d, seq_len: 32, micro_batch: 2, lr: 1e-2}
                eval: {every: 10, batches: 1}
                results: {answers: 0, report: false}
                output: {dir: %s, checkpoint_every: 1, keep: 3, log_every: 1}
                device: cpu:1
                """.formatted(dir.resolve("base/model"), data.resolve("train.jsonl"), data.resolve("valid.jsonl"),
                STEPS, dir.resolve("whole")));
    }

    private static Process start(Path run, String... more) throws IOException {
        ProcessBuilder b = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules", "jdk.incubator.vector", "-XX:+UseSerialGC", "-Xmx300m", "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"), "dev.gyre.trainer.cli.Main", "train", file.toString(), "--set",
                "output.dir=" + run);
        b.command().addAll(List.of(more));
        return b.redirectErrorStream(true).redirectOutput(dir.resolve(run.getFileName() + ".txt").toFile()).start();
    }

    private static Set<String> names(Path run) {
        if (!Files.isDirectory(run))
            return Set.of();
        try (Stream<Path> files = Files.list(run)) {
            return files.map(p -> p.getFileName().toString()).collect(Collectors.toSet());
        } catch (IOException | UncheckedIOException e) {
            return Set.of(); // it changes while we look
        }
    }

    /// Waits for a name that `moment` accepts and that is not among the `old` ones, or for the end of the process: a busy
    /// machine may let it run to its end before we look again.
    private static void await(Process p, Path run, Set<String> old, Predicate<String> moment)
            throws InterruptedException, IOException {
        while (p.isAlive()) {
            if (names(run).stream().anyMatch(n -> !old.contains(n) && moment.test(n)))
                return;
            Thread.sleep(1);
        }
        assertThat(p.exitValue()).as(Files.readString(dir.resolve(run.getFileName() + ".txt"))).isZero();
    }

    private static boolean checkpoint(String name, int from) {
        return name.matches("checkpoint-\\d+") && Integer.parseInt(name.substring(11)) >= from;
    }

    @Test
    void aRunKilledAtAnyMomentEndsBitForBitLikeTheWholeOne() throws Exception {
        assertThat(Cli.gyre("train", file).code).isZero();
        Path run = dir.resolve("killed");
        List<Predicate<String>> moments = List.of(n -> checkpoint(n, 4), n -> n.startsWith(".checkpoint-"),
                n -> checkpoint(n, 25) || n.startsWith(".checkpoint-2"));
        for (int i = 0; i < moments.size(); i++) {
            Set<String> old = names(run); // what the one before left
            Process p = i > 0 ? start(run, "--resume") : start(run);
            await(p, run, old, moments.get(i));
            p.destroyForcibly().waitFor();
        }
        Cli last = Cli.gyre("train", file, "--set", "output.dir=" + run, "--resume");
        assertThat(last.code).as(last.toString()).isZero();
        for (String f : List.of("adapter/adapter_model.safetensors",
                "checkpoint-" + STEPS + "/trainer_state.safetensors"))
            assertThat(run.resolve(f)).as(f).hasSameBinaryContentAs(dir.resolve("whole").resolve(f));
        assertThat(names(run).stream().anyMatch(n -> n.startsWith("."))).as("left-overs").isFalse();
        List<String> lines = Files.readAllLines(run.resolve("metrics.jsonl")).stream()
                .filter(l -> l.contains("\"grad_norm\"")).toList();
        assertThat(lines).hasSize(STEPS);
        for (int i = 0; i < STEPS; i++)
            assertThat(lines.get(i)).startsWith("{\"step\":" + (i + 1) + ",");
        Cli again = Cli.gyre("train", file, "--set", "output.dir=" + run, "--resume");
        assertThat(again.code).as(again.toString()).isZero();
        assertThat(again.out).contains("the run was complete").doesNotContain("NaN");
    }

    private static final int KILLS = 40;
    /// Short, because every checkpoint waits for the disk, and with all that a step may write.
    private static final String[] SHORT = {"--set", "train.steps=12", "--set", "output.checkpoint_every=4", "--set",
        "eval.every=6", "--set", "eval.samples=2"};

    private static Cli train(Path run, String... more) {
        return Cli.gyre(Stream.of(List.of("train", file, "--set", "output.dir=" + run), List.of(SHORT), List.of(more))
                .flatMap(List::stream).toArray());
    }

    /// What a process killed at a random moment leaves is what one stopped at that moment has: its files are copied while it
    /// is stopped, so that one process dies many times. Every copy is resumed and must end as the run that nothing
    /// stopped, in every file.
    @Test
    void whatAnyKillLeavesEndsInEveryFileLikeTheWholeRun() throws Exception {
        assumeThat(Path.of("/proc/self/status")).exists();
        Path whole = dir.resolve("unbroken");
        Cli c = train(whole);
        assertThat(c.code).as(c.toString()).isZero();
        Map<String, String> expected = contents(whole);
        Random random = new Random(20_260_730);
        List<Path> copies = new ArrayList<>();
        for (int processes = 0; copies.size() < KILLS; processes++) {
            Path run = dir.resolve("stopped-" + processes);
            Process p = start(run, SHORT);
            await(p, run, Set.of(), n -> n.equals("run.yaml"));
            while (p.isAlive() && copies.size() < KILLS) {
                Thread.sleep(Duration.ofNanos(random.nextInt(60_000_000)));
                signal(p, "STOP");
                if (isStopped(p)) {
                    Path copy = dir.resolve("killed-" + copies.size());
                    copy(run, copy);
                    copies.add(copy);
                }
                signal(p, "CONT");
            }
            p.destroyForcibly().waitFor();
        }
        for (Path run : copies) {
            Set<String> left = names(run);
            Cli last = train(run, "--resume");
            assertThat(last.code).as(run + " with " + left + ": " + last).isZero();
            assertThat(contents(run)).as("killed with " + left).isEqualTo(expected);
        }
    }

    static void signal(Process p, String name) throws IOException, InterruptedException {
        new ProcessBuilder("kill", "-" + name, String.valueOf(p.pid())).redirectErrorStream(true).start().waitFor();
    }

    /// Waits until all threads of a process that was sent STOP stand still; false where it ended before.
    static boolean isStopped(Process p) throws InterruptedException {
        Path tasks = Path.of("/proc/" + p.pid() + "/task");
        while (p.isAlive())
            try (Stream<Path> all = Files.list(tasks)) {
                boolean still = true;
                for (Path t : all.toList())
                    still &= Files.readString(t.resolve("stat")).replaceFirst(".*\\) ", "").startsWith("T");
                if (still)
                    return true;
                Thread.sleep(1);
            } catch (IOException e) {
                continue; // a thread or the process ended while we looked
            }
        return false;
    }

    static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> all = Files.walk(from)) {
            for (Path p : all.toList())
                Files.copy(p, to.resolve(from.relativize(p).toString()));
        }
    }

    /// All files of a run by name, without what differs between any two runs: times, memory, places, and the files that
    /// grow with each start.
    static Map<String, String> contents(Path run) throws IOException {
        Map<String, String> out = new TreeMap<>();
        try (Stream<Path> all = Files.walk(run)) {
            for (Path p : all.filter(Files::isRegularFile).toList()) {
                String name = run.relativize(p).toString();
                if (name.startsWith("tb/") || name.equals("log.txt"))
                    continue;
                String text = new String(Files.readAllBytes(p), StandardCharsets.ISO_8859_1);
                if (name.equals("provenance.json"))
                    text = Json.readObject(p).path("inputs").toString();
                if (name.equals("report.html"))
                    text = ""; // made of the others, and of times
                out.put(name, text.replace(run.toString(), "RUN").replaceAll(
                        "\"(seconds|step_seconds|tokens_per_second|process)\": ?[^,}\n]*", "TIME"));
            }
        }
        return out;
    }

    @Test
    void aDirectoryKilledBetweenItsTwoRenamesComesBack() throws IOException {
        Path run = dir.resolve("renamed");
        assertThat(Cli.gyre("train", file, "--set", "output.dir=" + run, "--set", "train.steps=3").code).isZero();
        Path adapter = run.resolve("adapter");
        byte[] was = Files.readAllBytes(adapter.resolve("adapter_model.safetensors"));
        Path aside = run.resolve(".adapter.old-01234567-89ab-cdef-0123-456789abcdef");
        Files.move(adapter, aside);
        Files.createDirectory(run.resolve(".adapter.tmp-01234567-89ab-cdef-0123-456789abcdef"));
        Cli c = Cli.gyre("train", file, "--set", "output.dir=" + run, "--set", "train.steps=3", "--resume");
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(Files.readAllBytes(adapter.resolve("adapter_model.safetensors"))).isEqualTo(was);
        assertThat(names(run).stream().anyMatch(n -> n.startsWith("."))).isFalse();
    }

    /// A shell without job control has what it starts in the background ignore interrupts, and so do its children; the JVM
    /// leaves it at that.
    private static boolean interruptsIgnored() throws IOException {
        Path status = Path.of("/proc/self/status");
        return Files.exists(status) && Files.readAllLines(status).stream().filter(l -> l.startsWith("SigIgn:"))
                .anyMatch(l -> (Long.parseUnsignedLong(l.substring(7).strip(), 16) & 2) != 0);
    }

    @Test
    void interruptTerminateAndHangUpFinishTheStepAndSave() throws Exception {
        for (String signal : interruptsIgnored() ? List.of("TERM", "HUP") : List.of("INT", "TERM", "HUP")) {
            Path run = dir.resolve("signal-" + signal);
            // more steps than it can take before the signal arrives, however slow this machine is
            Process p = start(run, "--set", "train.steps=100000");
            await(p, run, Set.of(), n -> checkpoint(n, 2));
            assertThat(p.isAlive()).isTrue();
            assertThat(new ProcessBuilder("kill", "-" + signal, String.valueOf(p.pid())).start().waitFor()).isZero();
            assertThat(p.waitFor(10, TimeUnit.MINUTES)).isTrue();
            assertThat(p.exitValue()).isEqualTo(ExitCode.INTERRUPTED);
            String out = Files.readString(dir.resolve("signal-" + signal + ".txt"));
            assertThat(out).contains("finishing the step, then saving", "stopped after step ", "resume: gyre train ")
                    .doesNotContain("Exception");
            assertThat(run.resolve("adapter")).doesNotExist();
        }
    }
}
