package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.token.ByteTokenizer;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.config.RunConfig.TooLong;
import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizedSetTest {
    /// `<role>content` and a line break per message.
    private static final ModelText TEXT = ModelText.of(new ByteTokenizer(), ChatTemplate.of(Path.of("test"),
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
                    + "{% if add_generation_prompt %}<assistant>{% endif %}",
            Map.of()));

    @TempDir
    Path dir;

    /// Tokens as text, `[` the begin and `]` the end token.
    private static String text(TokenizedSet set, int example, boolean targetsOnly) {
        StringBuilder s = new StringBuilder();
        for (int j = 0; j < set.length(example); j++)
            if (!targetsOnly || set.isTarget(example, j))
                s.append(switch (set.token(example, j)) {
                    case 256 -> "[";
                    case 257 -> "]";
                    default -> String.valueOf((char) set.token(example, j));
                });
        return s.toString();
    }

    private TokenizedSet set(String name, String content, TrainOn on, TooLong tooLong, int T) throws IOException {
        Path file = dir.resolve(name);
        Files.writeString(file, content);
        return TokenizedSet.read(file, new TokenizedSet.Rules(Format.AUTO, on, tooLong, T), TEXT);
    }

    @Test
    void onlyTheAnswerIsTrainedByDefault() throws IOException {
        String line = "{\"prompt\": \"2+2=\", \"completion\": \"4\"}\n";
        TokenizedSet s = set("a.jsonl", line, TrainOn.COMPLETION, TooLong.TRUNCATE, 64);
        assertThat(text(s, 0, false)).isEqualTo("[2+2=4]");
        assertThat(text(s, 0, true)).isEqualTo("4]");
        s = set("a.jsonl", line, TrainOn.ALL, TooLong.TRUNCATE, 64);
        assertThat(text(s, 0, true)).as("the first token has no predecessor").isEqualTo("2+2=4]");
        assertThat(s.targets()).isEqualTo(6);
    }

    @Test
    void everyTurnOfTheAssistantIsTrainedAndNothingElse() throws IOException {
        TokenizedSet s = set("a.jsonl", """
                {"messages": [{"role":"user","content":"hi"},{"role":"assistant","content":"yo"},\
                {"role":"user","content":"bye"},{"role":"assistant","content":"ciao"},{"role":"user","content":"?"}]}
                """, TrainOn.COMPLETION, TooLong.TRUNCATE, 200);
        assertThat(text(s, 0, true)).isEqualTo("yo\nciao\n");
        assertThat(text(s, 0, false)).as("what follows the last target is left out")
                .isEqualTo("<user>hi\n<assistant>yo\n<user>bye\n<assistant>ciao\n");
    }

    @Test
    void aTokenThatTheModelHasNoRowForIsNamedWithItsLine() throws IOException {
        Path model = dir.resolve("model");
        Files.createDirectory(model);
        new ByteTokenizer(List.of("<new>"), null).save(model);
        Files.writeString(model.resolve("config.json"), "{\"vocab_size\": 259}");
        Path file = dir.resolve("a.jsonl");
        Files.writeString(file, "{\"text\": \"old\"}\n{\"text\": \"a <new> one\"}\n");
        try (ModelText text = ModelText.load(model)) {
            assertThatThrownBy(() -> TokenizedSet.read(file,
                    new TokenizedSet.Rules(Format.AUTO, TrainOn.ALL, TooLong.TRUNCATE, 9), text))
                    .isInstanceOf(DataException.class)
                    .hasMessageContaining("a.jsonl:2: the token '<new>' (259) has no row in the model");
        }
    }

    @Test
    void aTokenThatWouldJoinPromptAndAnswerIsTakenApart() throws IOException {
        ModelText joining = ModelText.of(new ByteTokenizer(List.of("ab"), null), null);
        ModelText.Masked m = joining.masked(new Example.Completion("xa", "by"), false);
        assertThat(m.tokens()).containsExactly(256, 'x', 'a', 'b', 'y', 257);
        assertThat(m.target().toString()).isEqualTo("{3, 4, 5}");
    }

    /// A tokenizer whose template ends every text ends an example once, and a prompt not at all.
    @Test
    void aTokenizerThatEndsTextsItselfEndsThemOnce() throws IOException {
        new ByteTokenizer().save(dir);
        Files.delete(dir.resolve("gyre_tokenizer.json"));
        Path file = dir.resolve("tokenizer.json");
        String json = Files.readString(file);
        String ending = json.replaceFirst("(?s)\"post_processor\": .*?\n  \\}",
                "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
                        + "[{\"SpecialToken\": {\"id\": \"<|bos|>\", \"type_id\": 0}}, "
                        + "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
                        + "{\"SpecialToken\": {\"id\": \"<|eos|>\", \"type_id\": 0}}], \"pair\": [], "
                        + "\"special_tokens\": {\"<|bos|>\": {\"id\": \"<|bos|>\", \"ids\": [256], \"tokens\": [\"<|bos|>\"]}, "
                        + "\"<|eos|>\": {\"id\": \"<|eos|>\", \"ids\": [257], \"tokens\": [\"<|eos|>\"]}}}");
        assertThat(ending).isNotEqualTo(json);
        Files.writeString(file, ending);
        try (ModelText text = ModelText.load(dir)) {
            assertThat(text.tokenizer().encode("ab", true)).containsExactly(256, 'a', 'b', 257);
            ModelText.Masked m = text.masked(new Example.Completion("ab", "c"), false);
            assertThat(m.tokens()).containsExactly(256, 'a', 'b', 'c', 257);
            assertThat(m.target().toString()).isEqualTo("{3, 4}");
            assertThat(text.prompt("ab")).containsExactly(256, 'a', 'b');
            assertThat(text.prompt("ab<|eos|>")).endsWith(257);
            ModelText.Task task = text.tasks(List.of(new Example.Completion("ab", "c"))).getFirst();
            assertThat(task.prompt()).containsExactly(256, 'a', 'b');
            assertThat(task.answer()).containsExactly('c');
        }
    }

    @Test
    void longExamplesAreTruncatedOrDroppedAndCountedOnce() throws IOException {
        String lines = """
                {"prompt": "12", "completion": "345678"}
                {"prompt": "12345678", "completion": "9"}
                {"prompt": "1", "completion": "2"}
                """;
        TokenizedSet s = set("a.jsonl", lines, TrainOn.COMPLETION, TooLong.TRUNCATE, 5);
        assertThat(text(s, 0, false)).isEqualTo("[12345");
        assertThat(s.size()).isEqualTo(2);
        assertThat(s.truncated()).isEqualTo(1);
        assertThat(s.dropped()).as("nothing of its answer is left").isEqualTo(1);
        assertThat(s.read()).isEqualTo(3);
        assertThat(s.line(1)).isEqualTo(3);
        s = set("a.jsonl", lines, TrainOn.COMPLETION, TooLong.DROP, 5);
        assertThat(s.size()).isEqualTo(1);
        assertThat(s.dropped()).isEqualTo(2);
        assertThat(s.truncated()).isZero();
    }

    @Test
    void plainTextIsCutSoThatEveryTokenIsATargetOnce() throws IOException {
        TokenizedSet s = set("a.txt", "abcdefghij", TrainOn.COMPLETION, TooLong.TRUNCATE, 4);
        assertThat(s.size()).isEqualTo(3);
        assertThat(text(s, 0, false)).isEqualTo("[abcd");
        assertThat(text(s, 1, false)).isEqualTo("defgh");
        assertThat(text(s, 2, false)).isEqualTo("hij");
        String targets = text(s, 0, true) + text(s, 1, true) + text(s, 2, true);
        assertThat(targets).isEqualTo("abcdefghij");
        TokenizedSet j = set("a.jsonl", "{\"text\": \"abcdefghij\"}", TrainOn.COMPLETION, TooLong.SPLIT, 4);
        assertThat(text(j, 2, false)).isEqualTo("hij]");
    }

    @Test
    void aFileWithNothingToTrainOnIsAnError() {
        assertThatThrownBy(() -> set("a.jsonl", "\n", TrainOn.ALL, TooLong.TRUNCATE, 4))
                .isInstanceOf(DataException.class).hasMessageEndingWith("a.jsonl: holds no examples");
        assertThatThrownBy(() -> set("a.txt", "", TrainOn.ALL, TooLong.TRUNCATE, 4)).isInstanceOf(DataException.class);
        assertThatThrownBy(() -> set("a.jsonl", "{\"prompt\":\"12345\",\"completion\":\"6\"}", TrainOn.COMPLETION,
                TooLong.TRUNCATE, 4))
                .hasMessageContaining("none of its 1 examples has a token to train on within 4 tokens");
    }
}
