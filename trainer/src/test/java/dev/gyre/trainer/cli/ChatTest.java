package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.token.ChatTemplate.Message;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.Generator;
import dev.gyre.model.transformer.Sampler;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.ModelRef;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ChatTest {
    private static final Path BASE = Path.of("../examples/small-llama");

    private static Cli chat(Path model, String input) {
        InputStream before = System.in;
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        try {
            return Cli.gyre("chat", model, "-q", "-n", 12);
        } finally {
            System.setIn(before);
        }
    }

    @Test
    void aModelWithoutATemplateContinuesEachLineByItself() {
        Cli c = chat(BASE, "copy abc = \n/wrong\n\ncopy abc = \n/exit\ncopy never = \n");
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out).isEqualTo("abc\nabc\n");
        assertThat(c.err).contains("no command /wrong");
    }

    @Test
    void aConversationThatGoesOnAnswersAsOneThatIsReadAnew(@TempDir Path dir) throws IOException {
        try (Stream<Path> files = Files.list(BASE)) {
            for (Path f : files.toList())
                Files.copy(f, dir.resolve(f.getFileName().toString()));
        }
        Files.writeString(dir.resolve("chat_template.jinja"),
                "{% for m in messages %}{{ m['role'][0] }} {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}a {% endif %}");
        Cli c = chat(dir, "copy abc\nsort hello\n/reset\ncopy abc\n");
        assertThat(c.code).as(c.toString()).isZero();
        ModelText text = ModelText.load(dir);
        String first = answer(dir, text, List.of(new Message("user", "copy abc")));
        String second = answer(dir, text, List.of(new Message("user", "copy abc"), new Message("assistant", first),
                new Message("user", "sort hello")));
        assertThat(second).isNotEqualTo(first);
        assertThat(c.out).isEqualTo(first + "\n" + second + "\n" + first + "\n");
    }

    /// Caches for all that a model could read would take gigabytes where its context is 131 072 tokens.
    @Test
    void aLongContextTakesMemoryOnlyAsItIsUsed(@TempDir Path dir) throws IOException {
        try (Stream<Path> files = Files.list(BASE)) {
            for (Path f : files.toList())
                Files.copy(f, dir.resolve(f.getFileName().toString()));
        }
        Path config = dir.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"max_position_embeddings\": 256",
                "\"max_position_embeddings\": 1073741824"));
        Cli c = chat(dir, "copy abc = \n");
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out).isEqualTo("abc\n");
    }

    private static String answer(Path dir, ModelText text, List<Message> messages) {
        StringBuilder s = new StringBuilder();
        try (Decoder d = new Decoder(new ModelRef(dir, List.of()).load(), new CpuBackend(), 256)) {
            StreamDecoder stream = text.stream();
            Generator.run(d, text.prompt(messages), 12, text.stops(), Sampler.greedy(text.tokenizer().vocabSize()),
                    t -> {
                        s.append(stream.add(t));
                        return true;
                    });
            return s.append(stream.finish()).toString();
        }
    }
}
