package dev.gyre.model.files;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 5, unit = TimeUnit.MINUTES)
class FolderLockTest {
    @TempDir
    Path dir;

    /// Another process: takes the lock, looks at it as a program may, and keeps it until its input ends.
    static final class Holder {
        public static void main(String[] args) throws Exception {
            Path dir = Path.of(args[0]);
            try (FolderLock _ = FolderLock.take(dir, "busy")) {
                try {
                    FolderLock.check(dir, "mine");
                } catch (FormatException e) {
                    System.out.print("looked, ");
                }
                try (FolderLock _ = FolderLock.take(dir.resolve("../" + dir.getFileName()), "mine")) {
                    System.out.print("twice, ");
                } catch (FormatException e) {
                    System.out.print("refused, ");
                }
                System.out.println("taken");
                while (System.in.read() >= 0)
                    continue;
            }
        }
    }

    @Test
    void aLockThatAnotherProcessHasIsRefusedUntilItEnds() throws Exception {
        Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
                System.getProperty("java.class.path"), Holder.class.getName(), dir.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try (BufferedReader out =
                new BufferedReader(new InputStreamReader(p.getInputStream(), StandardCharsets.UTF_8))) {
            assertThat(out.readLine()).isEqualTo("looked, refused, taken");
            assertThatThrownBy(() -> FolderLock.take(dir, "busy")).isInstanceOf(FormatException.class)
                    .hasMessageContaining("busy");
            assertThatThrownBy(() -> FolderLock.check(dir, "busy")).isInstanceOf(FormatException.class);
            p.destroyForcibly().waitFor();
        }
        FolderLock.check(dir, "busy");
        try (FolderLock _ = FolderLock.take(dir, "busy")) {
            assertThat(dir.resolve(FolderLock.FILE)).exists();
        }
        assertThat(dir.resolve(FolderLock.FILE)).doesNotExist();
    }
}
