package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A disk that is full from any moment on: every command ends in one line and loses nothing. A build takes a sample of the
/// moments of training and merging, `-Dgyre.test.jvm=-Dgyre.disk=all` all of them, minutes.
@Timeout(value = 60, unit = TimeUnit.MINUTES)
class FullDiskTest {
    @TempDir
    Path dir;

    @Test
    void nothingIsLostOrHalfWritten() throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "--add-modules",
                "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC", "-Xmx600m",
                "-Djava.io.tmpdir=" + System.getProperty("java.io.tmpdir"),
                "-Djava.nio.file.spi.DefaultFileSystemProvider=" + FullDisk.class.getName(), "-cp",
                System.getProperty("java.class.path"), FullDiskMain.class.getName(), dir.toString()));
        if (System.getProperty("gyre.disk", "").equals("all"))
            command.add("all");
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        p.getOutputStream().close();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(p.waitFor()).as(said).isZero();
        assertThat(said).contains("train: ", "merge: ");
        if (command.getLast().equals("all"))
            assertThat(said).contains("quantize: ", "export: ", "skills: ", "logits: ", "compare: ", "report: ");
        System.out.println(said.lines().filter(l -> l.contains(" moments of ")).toList());
    }
}
