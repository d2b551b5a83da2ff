package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.files.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ObjectNode;

/// Every example of docs/data.md. A comment before a block says what it is: a file, what `gyre data` shows of one, what it
/// refuses, or what a run writes into held-out.txt.
class DataDocsTest {
    private static final Pattern BLOCK =
            Pattern.compile("<!-- (file|shows|refuses|held-out): (.*?) -->\\n```\\w+\\n(.*?)```\\n", Pattern.DOTALL);

    @TempDir
    static Path dir;
    private static Path model;

    private record Block(String kind, String of, String content) {
    }

    private static List<Block> blocks() throws IOException {
        List<Block> out = new ArrayList<>();
        Matcher m = BLOCK.matcher(Files.readString(Path.of("../docs/data.md")));
        while (m.find())
            out.add(new Block(m.group(1), m.group(2), m.group(3)));
        return out;
    }

    @BeforeAll
    static void filesAndModel() throws IOException {
        Path source = Path.of("../examples/small-llama");
        model = Files.createDirectory(dir.resolve("model"));
        try (Stream<Path> s = Files.list(source)) {
            for (Path p : s.toList())
                Files.copy(p, model.resolve(p.getFileName()));
        }
        Files.writeString(model.resolve("chat_template.jinja"), "{% for m in messages %}<|im_start|>{{ m.role }}\n"
                + "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
        ObjectNode own = Json.readObject(model.resolve("gyre_tokenizer.json"));
        assertThat(own.isEmpty()).isFalse();
        Files.copy(Path.of("src/test/resources/dev/gyre/trainer/data/pairs.parquet"), dir.resolve("pairs.parquet"));
        for (Block b : blocks())
            if (b.kind.equals("file"))
                Files.writeString(dir.resolve(b.of), b.content);
    }

    private static Path config(String data, int n) throws IOException {
        Path file = dir.resolve("run-" + n + ".yaml");
        // names on the page are relative to the folder of a run
        String here = data.replaceAll("([\\w*-]+\\.(jsonl|json|csv|parquet|txt))\"?",
                Matcher.quoteReplacement(dir.toString()) + "/$1").replace("\"" + dir, dir.toString());
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 32}
                data: %s
                train: {steps: 1, seq_len: 240, micro_batch: 1}
                results: {answers: 0, report: false}
                output: {dir: %s}
                """.formatted(model, here, dir.resolve("run-" + n)));
        return file;
    }

    @TestFactory
    Stream<DynamicTest> everyExampleIsWhatItSays() throws IOException {
        List<Block> all = blocks();
        assertThat(all.stream().map(Block::kind).distinct()).hasSize(4);
        return Stream.iterate(0, i -> i < all.size(), i -> i + 1).filter(i -> !all.get(i).kind.equals("file"))
                .map(i -> DynamicTest.dynamicTest(all.get(i).kind + " " + all.get(i).of, () -> check(all.get(i), i)));
    }

    private static void check(Block b, int i) throws IOException {
        Path file = config(b.of, i);
        switch (b.kind) {
            case "shows" -> {
                Cli c = Cli.gyre("data", file, "--show", 9);
                assertThat(c.code).as(c.toString()).isZero();
                assertThat(c.out).contains(b.content);
            }
            case "refuses" -> {
                Cli c = Cli.gyre("data", file);
                assertThat(c.code).isEqualTo(2);
                assertThat(c.err).contains(b.content.strip());
            }
            default -> {
                Cli c = Cli.gyre("train", file);
                assertThat(c.code).as(c.toString()).isZero();
                assertThat(Files.readString(dir.resolve("run-" + i + "/held-out.txt")).replace(dir + "/", ""))
                        .isEqualTo(b.content);
            }
        }
    }
}
