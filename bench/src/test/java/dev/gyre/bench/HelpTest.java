package dev.gyre.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.trainer.cli.Main;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class HelpTest {
    /// Picocli formats every text with `String.format` and complains on the error stream where that fails.
    @Test
    void theHelpOfEveryCommandIsWrittenWithoutAComplaint() {
        PrintStream was = System.err;
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        try {
            help(Main.commands());
        } finally {
            System.setErr(was);
        }
        assertThat(err.toString(StandardCharsets.UTF_8)).isEmpty();
    }

    private static void help(CommandLine c) {
        String name = c.getCommandSpec().qualifiedName();
        assertThat(c.getUsageMessage()).as(name).startsWith("Usage: " + name).doesNotContain("%%", "${", "null");
        c.getSubcommands().values().forEach(HelpTest::help);
    }
}
