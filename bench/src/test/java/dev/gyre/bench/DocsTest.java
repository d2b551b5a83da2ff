package dev.gyre.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.trainer.cli.Main;
import dev.gyre.trainer.config.ConfigDocs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;

/// Pages that are written from the program itself. Run with `-Dgyre.docs=write` to write them anew.
class DocsTest {
    private static void inStep(String page, String text) throws IOException {
        Path root = Path.of("").toAbsolutePath();
        while (root != null && !Files.isDirectory(root.resolve("docs")))
            root = root.getParent();
        assertThat(root).isNotNull();
        Path file = root.resolve("docs").resolve(page);
        if ("write".equals(System.getProperty("gyre.docs")))
            Files.writeString(file, text);
        assertThat(file).as("write it anew: run DocsTest with -Dgyre.docs=write").content().isEqualTo(text);
    }

    @Test
    void thePageOfTheConfigurationSaysWhatTheRecordsSay() throws IOException {
        inStep("configuration.md", ConfigDocs.markdown());
    }

    @Test
    void thePageOfTheCommandsSaysWhatTheirHelpSays() throws IOException {
        StringBuilder out = new StringBuilder("""
                # Commands

                Written from the commands' own help; a test keeps it in step. `-q` prints results and errors only, `--debug` shows
                where an error came from, `--help` explains a command.

                | command | does |
                |---|---|
                """);
        StringBuilder details = new StringBuilder();
        Main.commands().getSubcommands().forEach((name, c) -> command(out, details, name, c));
        inStep("commands.md", out.append(details).toString());
    }

    private static void command(StringBuilder table, StringBuilder details, String name, CommandLine c) {
        var spec = c.getCommandSpec();
        table.append("| [`").append(name).append("`](#gyre-").append(name.replace(' ', '-')).append(") | ")
                .append(cell(spec.usageMessage().description())).append(" |\n");
        details.append("\n## gyre ").append(name).append("\n\n").append(cell(spec.usageMessage().description()))
                .append("\n");
        StringBuilder rows = new StringBuilder();
        for (PositionalParamSpec p : spec.positionalParameters())
            row(rows, p.paramLabel(), p);
        for (OptionSpec o : spec.options())
            if (!o.usageHelp() && !o.longestName().equals("--debug") && !o.longestName().equals("--quiet"))
                row(rows, String.join(", ", o.names()) + (o.arity().max() == 0 ? "" : " " + o.paramLabel()), o);
        if (!rows.isEmpty())
            details.append("\n| | |\n|---|---|\n").append(rows);
        c.getSubcommands().forEach((below, s) -> command(table, details, name + " " + below, s));
    }

    private static void row(StringBuilder rows, String what, ArgSpec a) {
        String text = cell(a.description()).replace("${DEFAULT-VALUE}", String.valueOf(a.defaultValue()));
        rows.append("| `").append(what.replace("|", "\\|")).append("` | ").append(text).append(" |\n");
    }

    private static String cell(String[] description) {
        return String.join(" ", description).replaceAll("%n|\\R", " ").replace("%%", "%").replace("|", "\\|").strip();
    }
}
