package dev.gyre.trainer.measure;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.Generator;
import dev.gyre.model.transformer.Sampler;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.Skills;
import dev.gyre.trainer.data.Skills.Part;
import dev.gyre.trainer.data.Skills.Skill;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EvaluationTest {
    private static final Path BASE = Path.of("../examples/small-llama");

    @Test
    void onePassGivesTheExactAnswersThatGreedyDecodingGives() {
        Transformer model;
        try (ModelDir dir = ModelDir.open(BASE)) {
            model = Transformer.load(dir);
        }
        ModelText text = ModelText.load(BASE);
        Backend backend = new CpuBackend();
        // 37 tasks are no whole number of batches; the model knows some of these skills well and one not at all
        List<Example> examples =
                Skills.mixed(List.of(Skill.COPY, Skill.LOOK, Skill.SHIFT), Part.HELD_OUT, 13, 3).subList(0, 37);
        int right = 0;
        long rightTokens = 0;
        long tokens = 0;
        try (Decoder decoder = new Decoder(model, backend, 64)) {
            for (ModelText.Task t : text.tasks(examples)) {
                int[] got = Generator.run(decoder, t.prompt(), t.answer().length + 1, text.stops(),
                        Sampler.greedy(text.tokenizer().vocabSize()), _ -> true);
                if (Arrays.equals(got, t.answer()))
                    right++;
                decoder.reset();
                float[] logits = decoder.next(t.prompt());
                for (int i = 0; i <= t.answer().length; i++) {
                    int best = Sampler.greedy(text.tokenizer().vocabSize()).next(logits);
                    boolean end = i == t.answer().length;
                    if (end ? text.stops().contains(best) : best == t.answer()[i])
                        rightTokens++;
                    tokens++;
                    if (!end)
                        logits = decoder.next(t.answer()[i]);
                }
            }
        }
        assertThat(right).isBetween(5, 32);
        assertThat(Evaluation.answers(model, backend, examples, text))
                .isEqualTo(new Evaluation.Answers(right, 37, rightTokens, tokens));
        assertThat(Evaluation.answers(model, backend, examples, text, 3 * model.config().vocabSize()))
                .as("three tokens at a time").isEqualTo(new Evaluation.Answers(right, 37, rightTokens, tokens));
    }

    /// The last answer of a conversation is asked for as a completion is: here the two are one text.
    @Test
    void conversationsAreAnsweredAsCompletionsAre(@TempDir Path dir) throws IOException {
        for (String file : List.of("config.json", "gyre_tokenizer.json"))
            Files.copy(BASE.resolve(file), dir.resolve(file));
        Files.writeString(dir.resolve("chat_template.jinja"), "<|bos|>{% for m in messages %}{{ m.content }}"
                + "{{ '<|eos|>' if m.role == 'assistant' }}{% endfor %}");
        List<Example> tasks = Skills.mixed(List.of(Skill.COPY, Skill.LOOK, Skill.SHIFT), Part.HELD_OUT, 6, 3);
        List<Example> chats = new ArrayList<>();
        for (Example e : tasks) {
            Example.Completion c = (Example.Completion) e;
            chats.add(new Example.Chat(List.of(new ChatTemplate.Message("user", c.prompt()),
                    new ChatTemplate.Message("assistant", c.completion()))));
        }
        Transformer model;
        try (ModelDir files = ModelDir.open(BASE)) {
            model = Transformer.load(files);
        }
        Backend backend = new CpuBackend();
        try (ModelText text = ModelText.load(BASE); ModelText chat = ModelText.load(dir)) {
            Evaluation.Answers expected = Evaluation.answers(model, backend, tasks, text);
            assertThat(expected.right()).isBetween(1, 17);
            assertThat(Evaluation.answers(model, backend, chats, chat)).isEqualTo(expected);
            List<ModelText.Task> asked = chat.tasks(chats);
            assertThat(Evaluation.given(model, backend, asked, chat))
                    .isEqualTo(Evaluation.given(model, backend, text.tasks(tasks), text));
            assertThat(asked.getFirst().asked()).isEqualTo(((Example.Completion) tasks.getFirst()).prompt());
        }
    }

    /// All logits of this task would be more numbers than an array holds, and gigabytes for one a tenth as long.
    @Test
    void aLongPromptOverALargeVocabularyNeedsLogitsOnlyOfItsAnswer() {
        Transformer model =
                Transformer.random(ModelConfig.llama(1 << 18, 8, 8, 1, 1, 1, 16384, true, 256, List.of(257), null), 1);
        Evaluation.Answers a = Evaluation.answers(model, new CpuBackend(),
                List.of(new Example.Completion("a".repeat(8200), "bcd")), ModelText.bytes());
        assertThat(a.all()).isEqualTo(1);
        assertThat(a.tokens()).isEqualTo(4);
    }

    @Test
    void examplesWithoutAnAnswerAreNoTasks() {
        Transformer model;
        try (ModelDir dir = ModelDir.open(BASE)) {
            model = Transformer.load(dir);
        }
        Evaluation.Answers none = Evaluation.answers(model, new CpuBackend(),
                Skills.make(Skill.SENTENCE, Part.HELD_OUT, 3, 1), ModelText.load(BASE));
        assertThat(none).isEqualTo(new Evaluation.Answers(0, 0, 0, 0));
        assertThat(none.share()).isZero();
    }
}
