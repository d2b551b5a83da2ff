package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Usage and errors: nothing here needs a model.
class CommandLineTest {
    @TempDir
    Path dir;

    private static void usage(Cli c, String message) {
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).startsWith("gyre: ").contains(message).doesNotContain("\tat ");
        assertThat(c.err.strip().lines()).as("one line").hasSize(1);
        assertThat(c.out).isEmpty();
    }

    @Test
    void everyCommandHasHelp() {
        assertThat(Cli.gyre("--help").out).contains("Exit codes: 0 ok", "train", "quickstart");
        for (Object c : Commands.all()) {
            String name = c.getClass().getAnnotation(picocli.CommandLine.Command.class).name();
            Cli help = Cli.gyre(name, "--help");
            assertThat(help.code).isZero();
            assertThat(help.out).startsWith("Usage: gyre " + name);
        }
        assertThat(Cli.gyre("--version").out).startsWith("gyre ").contains("JDK 25");
    }

    @Test
    void wrongUsageIsOneLineWithTheWayOut() {
        usage(Cli.gyre(), "a command is missing (see gyre --help)");
        usage(Cli.gyre("trian"), "did you mean train? (see gyre --help)");
        usage(Cli.gyre("train"), "Missing required parameter: 'RUN.yaml' (see gyre train --help)");
        usage(Cli.gyre("train", "x.yaml", "--rseume"), "Unknown option: '--rseume'");
        usage(Cli.gyre("generate", "m", "-p", "x", "-n", "many"), "'many' is not an int (see gyre generate --help)");
        usage(Cli.gyre("pretrain"), "give a PRETRAIN.yaml, or --data FILE and --out DIR");
    }

    @Test
    void missingFilesAreNamed() {
        usage(Cli.gyre("train", dir.resolve("run.yaml")), "run.yaml: no such file (looked in ");
        usage(Cli.gyre("eval", dir.resolve("m"), dir.resolve("d.jsonl")), dir.resolve("m") + ": no such directory");
        usage(Cli.gyre("merge", dir, "--out", dir.resolve("o")), "nothing to merge: give --adapter DIR");
        usage(Cli.gyre("merge", dir, "--out", dir), "nothing to merge");
    }

    @Test
    void aBadConfigurationShowsItsPlace() throws IOException {
        Path file = dir.resolve("run.yaml");
        Files.writeString(file, "model: {path: m}\nadpater: {method: oft}\n");
        Cli c = Cli.gyre("train", file);
        assertThat(c.code).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).isEqualTo("gyre: " + file + ":2:1: unknown key 'adpater'; did you mean 'adapter'?\n"
                + "  2 | adpater: {method: oft}\n    | ^^^^^^^\n");
    }

    /// Named before anything else is looked at: neither models nor runs are there.
    @Test
    void whatCannotBeWrittenEndsACommandAtOnce() throws IOException {
        Path closed = closed();
        Path out = closed.resolve("out");
        Path run = Files.createDirectory(dir.resolve("run"));
        Path file = run.resolve("run.yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft}
                data: {train: %s}
                output: {dir: %s}
                """.formatted(dir, file, out));
        cannotWrite(out, Cli.gyre("train", file));
        cannotWrite(out, Cli.gyre("pretrain", "--data", file, "--out", out));
        cannotWrite(out, Cli.gyre("init", "--out", out));
        cannotWrite(out, Cli.gyre("skills", "--out", out));
        cannotWrite(out, Cli.gyre("merge", dir, "--adapter", dir, "--out", out));
        cannotWrite(out, Cli.gyre("quantize", dir, "--out", out));
        cannotWrite(out, Cli.gyre("export", dir, "--adapter", dir, "--out", out));
        cannotWrite(out, Cli.gyre("logits", dir, "--tokens", file, "--out", out));
        cannotWrite(out, Cli.gyre("kernels", "--html", out));
        cannotWrite(out, Cli.gyre("report", run, "--png", out));
        cannotWrite(out, Cli.gyre("compare", dir, "--out", out));
        cannotWrite(closed.resolve("out.tar.gz"), Cli.gyre("bundle", "--out", closed.resolve("out.tar.gz")));
        Path sweep = dir.resolve("sweep.yaml");
        Files.writeString(sweep, "run: " + file + "\noutput: " + out + "\nruns:\n  a: {adapter.method: lora}\n");
        cannotWrite(out, Cli.gyre("sweep", sweep));
        assertThat(run.toFile().list()).containsExactly("run.yaml");
        try (var left = Files.list(dir)) {
            assertThat(left.filter(p -> !p.endsWith("closed"))).containsExactlyInAnyOrder(run, sweep);
        }
    }

    private static void cannotWrite(Path out, Cli c) {
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.FAILURE);
        assertThat(c.err).startsWith("gyre: " + out).contains(": cannot be written; ").doesNotContain("internal");
        assertThat(c.err.strip().lines()).as("one line").hasSize(1);
        assertThat(c.out).isEmpty();
    }

    /// A folder in which nothing can be made: for root, whom no rights stop, one of the kernel's.
    private Path closed() throws IOException {
        Path folder = Files.createDirectory(dir.resolve("closed"));
        assertThat(folder.toFile().setWritable(false)).isTrue();
        if (!Files.isWritable(folder))
            return folder;
        Path kernel = Path.of("/proc");
        assumeThat(kernel).isDirectory();
        return kernel;
    }

    @Test
    void debugShowsWhereAnErrorCameFrom() {
        assertThat(Cli.gyre("eval", dir.resolve("m"), "d", "--debug").err).contains("no such directory")
                .contains("\tat ");
    }

    @Test
    void unknownDevicesAreRefused() throws IOException {
        Path file = dir.resolve("run.yaml");
        Files.writeString(file, """
                model: {path: m}
                adapter: {method: oft}
                data: {train: t}
                output: {dir: r}
                """);
        // one folder stands for all that must be there
        usage(Cli.gyre("train", file, "--set", "device=gpu", "--set", "model.path=" + dir, "--set",
                "data.train=" + dir), "device gpu: unknown; use cpu");
        for (String device : new String[] {"cpu", "auto"})
            usage(Cli.gyre("train", file, "--set", "device=" + device, "--set", "precision=tf32", "--set",
                    "model.path=" + dir, "--set", "data.train=" + dir), "precision tf32 needs cuBLAS");
        usage(Cli.gyre("train", file, "--set", "device=cpu:0", "--set", "model.path=" + dir, "--set",
                "data.train=" + dir), "'0' is not a number of at least 1");
        Cli missing = Cli.gyre("train", file);
        assertThat(missing.code).isEqualTo(ExitCode.USAGE);
        assertThat(missing.err).startsWith("gyre: " + file + ":1:15: 'model.path' names m, which is not there");
    }

    @Test
    void librariesKeepTheirRemarksToThemselves() {
        Cli.gyre("--version");
        assertThat(Logger.getLogger("ai.djl.util.Platform").isLoggable(Level.WARNING)).isFalse();
    }

    @Test
    void doctorNamesWhatItFound() {
        Cli c = Cli.gyre("doctor");
        assertThat(c.code).isZero();
        assertThat(c.out).contains("jdk", "vectors", "memory", "tornadovm", "base model");
        assertThat(Cli.gyre("doctor", "--json").out).startsWith("[{\"state\":\"ok\",\"what\":\"jdk\"");
    }

    @Test
    void doctorSaysWhatKeepsCuBlasAway() {
        assertThat(DoctorCommand.cuBlas(null).state()).isEqualTo(DoctorCommand.State.OK);
        DoctorCommand.Finding gap = DoctorCommand.cuBlas("the dynamic loader finds no libcublas.so.13");
        assertThat(gap.state()).isEqualTo(DoctorCommand.State.GAP);
        assertThat(gap.found()).contains("our own kernels", "finds no libcublas.so.13");
        assertThat(gap.fix()).contains("LD_LIBRARY_PATH");
    }

    @Test
    void skillsAreWritten() {
        Cli c = Cli.gyre("skills", "--out", dir, "--skill", "copy,sort", "--train", 5, "--valid", 2);
        assertThat(c.out).contains("wrote 10 examples");
        assertThat(dir.resolve("train.jsonl")).exists();
        usage(Cli.gyre("skills", "--out", dir, "--skill", "juggle"), "Invalid value for option '--skill'");
    }
}
