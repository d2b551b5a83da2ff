package dev.gyre.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.trainer.cli.Main;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/// Every command line that the documentation shows is one that Gyre takes: no command, option or value of it is unknown.
class ShownCommandsTest {
    /// A command that stands alone, in an indented block, a fenced one or a comment, with the lines that `\` joins to it.
    private static final Pattern ALONE = Pattern.compile("(?m)^(?: {4}|# +|)(?:\\./)?gyre ((?:.*\\\\\\R)*.*)$");
    /// A command amid a sentence, between backticks. It may leave out what the sentence is not about.
    private static final Pattern AMID = Pattern.compile("(?s)`(?:\\./)?gyre ([^`]+)`");
    /// Stands for something that the reader chooses, or for several commands.
    private static final Pattern PLACEHOLDER = Pattern.compile("[\\[|]");
    private static final Pattern WORD = Pattern.compile("'([^']*)'|\"([^\"]*)\"|\\S+");

    @Test
    void everyCommandShownIsOneThatGyreTakes() throws IOException {
        Path root = Path.of("").toAbsolutePath();
        while (!Files.isDirectory(root.resolve("docs")))
            root = root.getParent();
        List<String> wrong = new ArrayList<>();
        int shown = 0;
        for (Path page : pages(root)) {
            String text = Files.readString(page);
            for (Matcher m = ALONE.matcher(text); m.find(); shown++)
                check(root.relativize(page), m.group(1).replaceAll("\\\\\\R#?", " "), true, wrong);
            for (Matcher m = AMID.matcher(text); m.find();)
                if (!PLACEHOLDER.matcher(m.group(1)).find() && !m.group(1).startsWith("--")) {
                    check(root.relativize(page), m.group(1), false, wrong);
                    shown++;
                }
        }
        assertThat(wrong).isEmpty();
        assertThat(shown).isGreaterThan(60);
    }

    /// What people read first to last; the page of commands is written from the commands themselves.
    private static List<Path> pages(Path root) throws IOException {
        List<Path> out = new ArrayList<>(List.of(root.resolve("README.md"), root.resolve("bench/README.md")));
        for (String folder : List.of("docs", "examples"))
            try (Stream<Path> all = Files.walk(root.resolve(folder))) {
                all.filter(p -> p.toString().matches(".*\\.(md|yaml|java)") && !p.endsWith("commands.md")).sorted()
                        .forEach(out::add);
            }
        return out;
    }

    private static void check(Path page, String command, boolean whole, List<String> wrong) {
        List<String> words = new ArrayList<>();
        for (Matcher m = WORD.matcher(command); m.find() && !m.group().matches("#|>|\\||&&");)
            words.add(m.group(1) != null ? m.group(1) : m.group(2) != null ? m.group(2) : m.group());
        try {
            CommandLine gyre = Main.commands();
            gyre.setCaseInsensitiveEnumValuesAllowed(true);
            gyre.parseArgs(words.toArray(String[]::new));
        } catch (CommandLine.MissingParameterException e) {
            if (whole)
                wrong.add(page + ": gyre " + command.strip() + ": " + e.getMessage());
        } catch (CommandLine.ParameterException e) {
            wrong.add(page + ": gyre " + command.strip() + ": " + e.getMessage());
        }
    }
}
