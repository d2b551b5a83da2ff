package dev.gyre.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The run configurations shown on the methods' pages are ones that Gyre reads, and their pictures exist.
class DocsTest {
    private static final Path METHODS = Path.of("../docs/methods");

    static List<Path> pages() throws IOException {
        try (Stream<Path> s = Files.list(METHODS)) {
            return s.filter(p -> p.toString().endsWith(".md")).sorted().toList();
        }
    }

    @ParameterizedTest
    @MethodSource("pages")
    void configurationsAreReadAndPicturesExist(Path page) throws IOException {
        String text = Files.readString(page);
        Matcher yaml = Pattern.compile("```yaml\\n(.*?)```", Pattern.DOTALL).matcher(text);
        int found = 0;
        while (yaml.find()) {
            RunConfig c = ConfigReader.parse(page.getFileName().toString(), yaml.group(1), RunConfig.class, List.of());
            assertThat(c.model().path()).isEqualTo("examples/small-llama");
            found++;
        }
        assertThat(found).as(page.toString()).isEqualTo(page.endsWith("README.md") ? 0 : 1);
        Matcher link = Pattern.compile("\\]\\(([^):]+)\\)").matcher(text);
        while (link.find())
            assertThat(METHODS.resolve(link.group(1))).exists();
    }
}
