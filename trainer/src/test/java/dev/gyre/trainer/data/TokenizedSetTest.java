package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.config.RunConfig.TooLong;
import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizedSetTest {
    @TempDir
    Path dir;

    private TokenizedSet set(String name, String content, TrainOn on, TooLong tooLong, int T) throws IOException {
        Path file = dir.resolve(name);
        Files.writeString(file, content);
        return TokenizedSet.read(file, new TokenizedSet.Rules(Format.AUTO, on, tooLong, T), new ByteCodec());
    }

    @Test
    void onlyTheAnswerIsTrainedByDefault() throws IOException {
        String line = "{\"prompt\": \"2+2=\", \"completion\": \"4\"}\n";
        TokenizedSet s = set("a.jsonl", line, TrainOn.COMPLETION, TooLong.TRUNCATE, 64);
        assertThat(ByteCodec.text(s, 0, false)).isEqualTo("[2+2=4]");
        assertThat(ByteCodec.text(s, 0, true)).isEqualTo("4]");
        s = set("a.jsonl", line, TrainOn.ALL, TooLong.TRUNCATE, 64);
        assertThat(ByteCodec.text(s, 0, true)).as("the first token has no predecessor").isEqualTo("2+2=4]");
        assertThat(s.targets()).isEqualTo(6);
    }

    @Test
    void everyTurnOfTheAssistantIsTrainedAndNothingElse() throws IOException {
        TokenizedSet s = set("a.jsonl", """
                {"messages": [{"role":"user","content":"hi"},{"role":"assistant","content":"yo"},\
                {"role":"user","content":"bye"},{"role":"assistant","content":"ciao"},{"role":"user","content":"?"}]}
                """, TrainOn.COMPLETION, TooLong.TRUNCATE, 200);
        assertThat(ByteCodec.text(s, 0, true)).isEqualTo("yo\nciao\n");
        assertThat(ByteCodec.text(s, 0, false)).as("what follows the last target is left out")
                .isEqualTo("<user>hi\n<assistant>yo\n<user>bye\n<assistant>ciao\n");
    }

    @Test
    void aTokenThatJoinsPromptAndAnswerBelongsToTheAnswer() throws IOException {
        TextCodec joining = new TextCodec() {
            private final ByteCodec bytes = new ByteCodec();

            @Override
            public int[] encode(String text) {
                return bytes.encode(text.replace("ab", "\1"));
            }

            @Override
            public Integer bos() {
                return null;
            }

            @Override
            public Integer eos() {
                return null;
            }

            @Override
            public String decode(int[] tokens) {
                throw new UnsupportedOperationException();
            }

            @Override
            public String render(List<Example.Message> messages, boolean reply) {
                return bytes.render(messages, reply);
            }
        };
        Masking.Masked m = new Masking(joining, TrainOn.COMPLETION).apply(new Example.Completion("xa", "by"));
        assertThat(m.tokens()).containsExactly('x', 1, 'y');
        assertThat(m.target().toString()).isEqualTo("{1, 2}");
    }

    @Test
    void longExamplesAreTruncatedOrDroppedAndCountedOnce() throws IOException {
        String lines = """
                {"prompt": "12", "completion": "345678"}
                {"prompt": "12345678", "completion": "9"}
                {"prompt": "1", "completion": "2"}
                """;
        TokenizedSet s = set("a.jsonl", lines, TrainOn.COMPLETION, TooLong.TRUNCATE, 5);
        assertThat(ByteCodec.text(s, 0, false)).isEqualTo("[12345");
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
        assertThat(ByteCodec.text(s, 0, false)).isEqualTo("[abcd");
        assertThat(ByteCodec.text(s, 1, false)).isEqualTo("defgh");
        assertThat(ByteCodec.text(s, 2, false)).isEqualTo("hij");
        String targets = ByteCodec.text(s, 0, true) + ByteCodec.text(s, 1, true) + ByteCodec.text(s, 2, true);
        assertThat(targets).isEqualTo("abcdefghij");
        TokenizedSet j = set("a.jsonl", "{\"text\": \"abcdefghij\"}", TrainOn.COMPLETION, TooLong.SPLIT, 4);
        assertThat(ByteCodec.text(j, 2, false)).isEqualTo("hij]");
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
