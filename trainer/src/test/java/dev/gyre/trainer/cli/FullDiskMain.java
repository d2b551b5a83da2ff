package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.Stream;

/// What [FullDiskTest] starts on a [FullDisk]: commands that write, each with the disk full from any of its writes on.
final class FullDiskMain {
    private static final long SEED = 20_261_130;
    private static final List<String> SHORT = List.of("--set", "train.steps=4", "--set", "output.checkpoint_every=2");

    private final Path dir;
    private final boolean all;

    private FullDiskMain(Path dir, boolean all) {
        this.dir = dir;
        this.all = all;
    }

    /// A command with the places it writes to in a folder of its own.
    private interface Command {
        List<Object> in(Path folder);
    }

    /// @param args a folder to work in, and `all` for every write in place of some
    public static void main(String[] args) throws IOException {
        new FullDiskMain(Path.of(args[0]), List.of(args).contains("all")).run();
    }

    private void run() throws IOException {
        TinyModel tiny = TinyModel.in(dir, "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1");
        Path file = dir.resolve("run.yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 8, dropout: 0.2}
                data: {train: %s, valid: %s}
                train: {steps: 4, seq_len: 32, micro_batch: 2, lr: 1e-2}
                eval: {every: 2, samples: 2, result: best}
                results: {answers: 2, report: false}
                output: {dir: x, checkpoint_every: 2, keep: 1, log_every: 1}
                device: cpu:1
                """.formatted(tiny.model(), tiny.train(), tiny.valid()));
        Path whole = Files.createDirectories(dir.resolve("whole"));
        ok(train(file, whole.resolve("run"), List.of()));
        Path psoft = dir.resolve("psoft");
        ok(train(file, psoft, List.of("--set", "adapter={method: psoft, r: 4}")));
        resumed("train", file, whole.resolve("run"));
        again("merge", f -> List.of("merge", whole.resolve("run"), "--out", f.resolve("m"), "--verify"));
        if (!all)
            return; // a build has no time for the others
        again("quantize", f -> List.of("quantize", tiny.model(), "--out", f.resolve("q"), "--double-quant"));
        again("export", f -> List.of("export", psoft, "--out", f.resolve("e")));
        again("skills", f -> List.of("skills", "--out", f.resolve("s"), "--train", 5, "--valid", 2));
        Path tokens = Files.writeString(dir.resolve("t.json"), "{\"input_ids\": [[1, 2, 3, 4]]}");
        again("logits", f -> List.of("logits", tiny.model(), "--tokens", tokens, "--out", f.resolve("l.safetensors")));
        replaced("compare", whole, f -> List.of("compare", f.resolve("run"), "--out", f.resolve("page.html")));
        replaced("report", whole, f -> List.of("report", f.resolve("run")));
    }

    private static Cli train(Path file, Path run, List<Object> more) {
        return Cli.gyre(Stream.of(List.of("train", file, "--set", "output.dir=" + run), SHORT, more)
                .flatMap(List::stream).toArray());
    }

    private static void ok(Cli c) {
        assertThat(c.code).as(c.toString()).isZero();
    }

    /// A moment at which to fill the disk, after the one before.
    private long next(long n, SplittableRandom random) {
        return all || n < 3 ? n + 1 : n + 1 + random.nextLong(Math.max(1, 4 * n));
    }

    /// Runs a command on a disk that is full from some moment on.
    ///
    /// @return whether it was full for this command
    private static boolean failed(long n, Path folder, List<Object> command) {
        FullDisk.fillAt(n);
        Cli c;
        boolean full;
        try {
            c = Cli.gyre(command.toArray());
            full = FullDisk.wasFull();
        } finally {
            FullDisk.empty();
        }
        String what = command + " with room for " + n + " writes: " + c;
        if (!full) {
            assertThat(c.code).as(what).isZero();
            return false;
        }
        assertThat(c.code).as(what).isNotZero();
        List<String> said = c.err.lines().filter(l -> l.startsWith("gyre: ")).toList();
        assertThat(said).as(what).hasSize(1);
        assertThat(said.getFirst()).as(what).contains("No space left on device", folder.toString())
                .doesNotContain("internal error", "Exception");
        return true;
    }

    /// Training: what is left goes on and ends in every file like the run that had room.
    private void resumed(String name, Path file, Path whole) throws IOException {
        Map<String, String> expected = KilledTest.contents(whole);
        SplittableRandom random = new SplittableRandom(SEED);
        long n = 0;
        int tried = 0;
        int resumed = 0;
        for (;; n = next(n, random)) {
            Path run = dir.resolve(name + "-" + n);
            List<Object> command = new ArrayList<>(List.of("train", file, "--set", "output.dir=" + run));
            command.addAll(SHORT);
            if (!failed(n, run, command))
                break;
            tried++;
            boolean begun = Files.exists(run.resolve("run.yaml"));
            resumed += begun ? 1 : 0;
            ok(train(file, run, begun ? List.of("--resume") : List.of()));
            assertThat(KilledTest.contents(run)).as("room for " + n + " writes").isEqualTo(expected);
            delete(run);
        }
        System.out.println(name + ": " + tried + " moments of " + n + ", " + resumed + " resumed, all equal");
    }

    /// Commands that make something new: it is not there at all, nor anything else, and the next try makes it.
    private void again(String name, Command command) throws IOException {
        Path whole = Files.createDirectories(dir.resolve(name + "-whole"));
        ok(Cli.gyre(command.in(whole).toArray()));
        Map<String, String> expected = files(whole);
        SplittableRandom random = new SplittableRandom(SEED);
        long n = 0;
        int tried = 0;
        for (;; n = next(n, random)) {
            Path folder = Files.createDirectories(dir.resolve(name + "-" + n));
            if (!failed(n, folder, command.in(folder)))
                break;
            tried++;
            // a folder that the user named and that several files go into one by one may have the first of them
            Map<String, String> left = files(folder);
            assertThat(left.keySet()).as(name + " with room for " + n + " writes")
                    .isSubsetOf(name.equals("skills") ? expected.keySet() : Set.of());
            ok(Cli.gyre(command.in(folder).toArray()));
            assertThat(files(folder)).isEqualTo(expected);
            delete(folder);
        }
        System.out.println(name + ": " + tried + " moments of " + n + ", nothing half-written");
    }

    /// Commands that replace a file: the old one stays as it was.
    private void replaced(String name, Path whole, Command command) throws IOException {
        SplittableRandom random = new SplittableRandom(SEED);
        long n = 0;
        int tried = 0;
        for (;; n = next(n, random)) {
            Path folder = dir.resolve(name + "-" + n);
            KilledTest.copy(whole, folder);
            Files.writeString(folder.resolve("page.html"), "<!DOCTYPE html><title>Gyre</title>old");
            Map<String, String> before = files(folder);
            if (!failed(n, folder, command.in(folder)))
                break;
            tried++;
            Map<String, String> left = files(folder);
            left.remove("run/report.json"); // what the page is made of is complete, and is used again
            assertThat(left.equals(before)).as(name + " with room for " + n + " writes").isTrue();
            ok(Cli.gyre(command.in(folder).toArray()));
            delete(folder);
        }
        System.out.println(name + ": " + tried + " moments of " + n + ", the old file kept");
    }

    private static Map<String, String> files(Path folder) throws IOException {
        Map<String, String> out = new TreeMap<>();
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path p : all.filter(f -> !f.equals(folder) && !Files.isDirectory(f)).toList())
                out.put(folder.relativize(p).toString(),
                        new String(Files.readAllBytes(p), StandardCharsets.ISO_8859_1).replace(folder.toString(), "X"));
        }
        return out;
    }

    private static void delete(Path folder) {
        dev.gyre.model.files.AtomicFiles.delete(folder);
    }
}
