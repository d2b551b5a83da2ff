package dev.gyre.trainer.cli.screen;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ScreenTest {
    private static final String HOSTILE = "a\u001b]0;owned\u0007\u001b[2J\r\b\u009b2J\u007f\tä🙂\n";
    private static final String SHOWN = "a\\u001b]0;owned\\u0007\\u001b[2J\\u000d\\u0008\\u009b2J\\u007f\tä🙂\n";

    @TempDir
    Path dir;

    @Test
    void noControlCharacterOfATextReachesTheTerminal() throws IOException {
        var out = new ByteArrayOutputStream();
        var err = new ByteArrayOutputStream();
        Screen s = new Screen(new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8), true);
        Path log = dir.resolve("log.txt");
        s.log(log);
        s.line(HOSTILE);
        s.result(HOSTILE);
        s.part(HOSTILE);
        s.data(HOSTILE);
        s.note(HOSTILE);
        s.log(null);
        assertThat(out.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n"))
                .isEqualTo(SHOWN + "\n" + SHOWN + "\n" + SHOWN + SHOWN + "\n");
        assertThat(err.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n")).isEqualTo(SHOWN + "\n");
        assertThat(Files.readString(log)).doesNotContain("\u001b").contains("\\u001b]0;owned");
        out.reset();
        s.status(HOSTILE);
        assertThat(out.toString(StandardCharsets.UTF_8)).isEqualTo(SHOWN);
    }
}
