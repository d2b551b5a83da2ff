package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
}
