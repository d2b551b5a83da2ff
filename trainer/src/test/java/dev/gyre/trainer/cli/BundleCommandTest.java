package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What can go wrong before anything is packed; a whole bundle takes a jar and minutes.
class BundleCommandTest {
    @TempDir
    Path dir;

    private static void refused(Path out, String why) {
        Cli c = Cli.gyre("bundle", "--out", out);
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.USAGE);
        assertThat(c.err.strip()).startsWith("gyre: ").contains(why).hasLineCount(1);
    }

    @Test
    void whatCannotBeBundledIsSaidAndNothingIsLeft() throws IOException {
        refused(dir.resolve("gyre.zip"), "must end in .tar.xz or .tar.gz");
        Path there = Files.createFile(dir.resolve("there.tar.xz"));
        refused(there, "exists already");
        refused(dir.resolve("gyre.tar.gz"), "start gyre by its launcher");
        try (Stream<Path> left = Files.list(dir)) {
            assertThat(left).containsExactly(there);
        }
    }

    /// `LD_PRELOAD` ends a name at a space; the JVM's libjsig was not found, and the loader said so at every start.
    @Test
    void anUnpackedBundleStartsFromAFolderWithASpace() throws IOException, InterruptedException {
        Path root = Files.createDirectories(dir.resolve("with a space/gyre"));
        Path launcher = Path.of("../gyre"); // tests run in their module
        Files.copy(launcher, root.resolve("gyre"), StandardCopyOption.COPY_ATTRIBUTES);
        for (String d : List.of("lib", "runtime/bin", "runtime/lib", "tornado/share/java/tornado"))
            Files.createDirectories(root.resolve(d));
        Files.createFile(root.resolve("lib/gyre.jar"));
        Files.createFile(root.resolve("runtime/lib/libjsig.so"));
        Files.writeString(root.resolve("runtime/release"), "JAVA_VERSION=\"25.0.3\"\n");
        Path java = root.resolve("runtime/bin/java");
        Files.writeString(java, "#!/bin/sh\necho \"$LD_PRELOAD|$LD_LIBRARY_PATH\"\n");
        assertThat(java.toFile().setExecutable(true)).isTrue();
        ProcessBuilder start = new ProcessBuilder(root.resolve("gyre").toString(), "doctor")
                .redirectError(ProcessBuilder.Redirect.DISCARD);
        start.environment().keySet().retainAll(Set.of("PATH"));
        Process p = start.start();
        assertThat(new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip())
                .isEqualTo("libjsig.so|" + root.toRealPath().resolve("runtime/lib"));
        assertThat(p.waitFor()).isZero();
    }
}
