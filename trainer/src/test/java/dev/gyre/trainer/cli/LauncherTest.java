package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The launcher finds its own folder, whatever the shell of the user is set to.
class LauncherTest {
    @TempDir
    Path dir;

    /// With CDPATH, `cd` goes to a folder of the same name somewhere else, and prints where it went.
    @Test
    void cdpathLeadsItNowhereElse() throws IOException, InterruptedException {
        Path root = Files.createDirectories(dir.resolve("here/gyre"));
        Files.createDirectories(dir.resolve("elsewhere/gyre"));
        Files.copy(Path.of("../gyre"), root.resolve("gyre"), StandardCopyOption.COPY_ATTRIBUTES);
        Files.createDirectories(root.resolve("lib"));
        Files.createFile(root.resolve("lib/gyre.jar"));
        Path java = Files.createDirectories(root.resolve("runtime/bin")).resolve("java");
        Files.writeString(root.resolve("runtime/release"), "JAVA_VERSION=\"25.0.3\"\n");
        Files.writeString(java, "#!/bin/sh\nfor a; do echo \"$a\"; done\n");
        assertThat(java.toFile().setExecutable(true)).isTrue();
        // a shell looks for it from its own folder
        ProcessBuilder start = new ProcessBuilder("bash", "gyre/gyre", "doctor")
                .directory(dir.resolve("here").toFile()).redirectErrorStream(true);
        start.environment().keySet().retainAll(Set.of("PATH"));
        start.environment().put("CDPATH", dir.resolve("elsewhere") + ":.");
        Process p = start.start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(p.waitFor()).as(said).isZero();
        assertThat(said.lines()).containsSubsequence("-jar", root.toRealPath().resolve("lib/gyre.jar").toString(),
                "doctor");
    }
}
