package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.token.ChatTemplate;
import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.config.RunConfig.TooLong;
import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What of published chat data is trained on, over models whose tokenizers are Hugging Face's.
class ChatDataTest {
    private static final String CHATML = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] +"
            + " '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    @TempDir
    Path dir;

    @BeforeEach
    void chatMl() throws IOException {
        model("bytes.json", CHATML);
    }

    private void model(String tokenizer, String template) throws IOException {
        try (var in = Objects.requireNonNull(ChatDataTest.class.getResourceAsStream("/chat/" + tokenizer))) {
            Files.write(dir.resolve("tokenizer.json"), in.readAllBytes());
        }
        Files.writeString(dir.resolve("tokenizer_config.json"), "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}");
        Files.writeString(dir.resolve("chat_template.jinja"), template);
        try (ModelText t = ModelText.load(dir)) {
            int end = t.tokenizer().encode("<|im_end|>", false)[0];
            Files.writeString(dir.resolve("config.json"), "{\"eos_token_id\": [" + t.tokenizer().eosId() + ", " + end
                    + "]}");
        }
    }

    private record Shown(List<String> trained, List<String> whole, List<String> notes) {
    }

    private Shown show(String lines, TrainOn on) throws IOException {
        Path file = Files.writeString(dir.resolve("d.jsonl"), lines);
        List<String> trained = new ArrayList<>();
        List<String> whole = new ArrayList<>();
        try (ModelText text = ModelText.load(dir)) {
            TokenizedSet s = TokenizedSet.read(file, new TokenizedSet.Rules(Format.AUTO, on, TooLong.TRUNCATE, 512),
                    text);
            for (int i = 0; i < s.size(); i++) {
                StringBuilder marked = new StringBuilder();
                int[] all = new int[s.length(i)];
                for (int j = 0; j < all.length; j++) {
                    all[j] = s.token(i, j);
                    if (s.isTarget(i, j))
                        marked.append(text.tokenizer().decodeWithSpecial(all[j]));
                }
                trained.add(marked.toString());
                whole.add(text.tokenizer().decodeWithSpecial(all));
            }
            return new Shown(trained, whole, s.notes());
        }
    }

    private List<String> trained(String lines) throws IOException {
        return show(lines, TrainOn.COMPLETION).trained;
    }

    /// With a default system text in the first turn, whoever speaks in it.
    @Test
    void theHeaderOfAConversationThatTheAssistantOpensIsNotTrainedOn() throws IOException {
        model("bytes.json", "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
                + "{{ '<|im_start|>system\\nDEFAULT SYSTEM PROMPT<|im_end|>\\n' }}{% endif %}"
                + CHATML.substring(CHATML.indexOf("{{ '<|im_start|>' + m")));
        assertThat(trained("""
                {"messages": [{"role": "assistant", "content": "hello"}, {"role": "user", "content": "q"}, \
                {"role": "assistant", "content": "ok"}]}
                """)).containsExactly("hello<|im_end|>\nok<|im_end|>\n");
        // and where the template writes no generation prompt at all
        model("bytes.json", "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>\n{% endfor %}");
        assertThat(trained("""
                {"messages": [{"role": "assistant", "content": "hello"}]}
                """)).containsExactly("hello<|im_end|>\n");
    }

    @Test
    void systemTextsAndHistoryBesideTheTurnsBelongToThePrompt() throws IOException {
        Shown s = show("""
                {"system": "You are a pirate.", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "arr"}]}
                {"system": "You are a pirate.", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "arr"}]}
                {"instruction": "Go on", "input": "", "output": "x", "system": "Be brief.", "history": [["first question", "first answer"]]}
                {"system": "", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "arr"}]}
                """, TrainOn.COMPLETION);
        String pirate = "<|im_start|>system\nYou are a pirate.<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
                + "<|im_start|>assistant\narr<|im_end|>\n";
        assertThat(s.whole.subList(0, 2)).containsExactly(pirate, pirate);
        assertThat(s.whole.get(2)).isEqualTo("Be brief.\n\n### Instruction:\nfirst question\n\n### Response:\n"
                + "first answer\n\n### Instruction:\nGo on\n\n### Response:\nx</s>");
        assertThat(s.whole.get(3)).startsWith("<|im_start|>system\nS<|im_end|>\n<|im_start|>user");
        assertThat(s.trained).containsExactly("arr<|im_end|>\n", "arr<|im_end|>\n", "x</s>", "arr<|im_end|>\n");
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"weight\": 0", "\"train\": false", "\"training\": false",
        "\"loss_mask\": 0, \"trainable\": false",
        "\"loss\": false", "\"masked\": true", "\"weight\": 0.0"})
    void aMessageThatIsMarkedIsContextOnly(String mark) throws IOException {
        String line =
                "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"WRONG\", "
                        + mark
                        + "}, {\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"right\"}]}";
        assertThat(trained(line)).containsExactly("right<|im_end|>\n");
        assertThat(show(line, TrainOn.ALL).trained).containsExactly(
                "user\nq<|im_end|>\n<|im_start|>assistant\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
                        + "right<|im_end|>\n");
    }

    @Test
    void marksCountWithGenerationBlocksToo() throws IOException {
        model("bytes.json",
                "{% macro say(m) %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endmacro %}"
                        + "{% for m in messages %}<|im_start|>{% if m.role == 'assistant' %}{{ say(m) }}{% else %}{{ m.content }}"
                        + "{% endif %}{% endfor %}");
        assertThat(trained("""
                {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "WRONG", "weight": 0}, \
                {"role": "user", "content": "q"}, {"role": "assistant", "content": "right", "weight": 1}]}
                """)).containsExactly("right<|im_end|>");
        // outside of a loop over the messages: by their order
        model("bytes.json", "{{ messages[0].content }}{% generation %}{{ messages[1].content }}{% endgeneration %}"
                + "{{ messages[2].content }}{% generation %}{{ messages[3].content }}<|im_end|>{% endgeneration %}");
        assertThat(trained("""
                {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "WRONG", "weight": 0}, \
                {"role": "user", "content": "q"}, {"role": "assistant", "content": "right", "weight": 1}]}
                """)).containsExactly("right<|im_end|>");
    }

    @Test
    void whoAnswersHasManyNames() throws IOException {
        StringBuilder s = new StringBuilder();
        List<String> names = List.of("gpt", "chatgpt", "bard", "bing", "assistant", "model", "GPT", "bot");
        for (String name : names) {
            s.append("{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, {\"from\": \"").append(name)
                    .append("\", \"value\": \"a\"}]}\n");
            s.append("{\"messages\": [{\"role\": \"Human\", \"content\": \"q\"}, {\"role\": \"").append(name)
                    .append("\", \"content\": \"a\"}]}\n");
        }
        // the keys of the one form under the name of the other
        s.append(
                "{\"conversations\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}\n");
        Shown all = show(s.toString(), TrainOn.COMPLETION);
        assertThat(all.trained).hasSize(2 * names.size() + 1).allMatch("a<|im_end|>\n"::equals);
        assertThat(all.whole).allMatch(
                "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"::equals);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{`messages`: [{`role`:`user`,`content`:`q`},{`role`:`Bob`,`content`:`a`}]} | no message is the assistant's, and the role 'Bob' is not known; call who answers 'assistant'",
        "{`conversations`: [{`from`:`human`,`value`:`q`},{`from`:`function_call`,`value`:`a`}]} | the function_call of message 2 must hold",
        "{`messages`: [{`role`:`user`,`content`:`q`},{`role`:`assistant`,`content`:`a`,`weight`:0.5}]} | 'weight' of message 2 must be 0 or 1",
        "{`messages`: [{`role`:`user`,`content`:`q`},{`role`:`assistant`,`content`:`a`,`weight`:1,`train`:false}]} | 'train' of message 2 contradicts",
        "{`messages`: [{`role`:`user`,`content`:`q`,`train`:true},{`role`:`assistant`,`content`:`a`}]} | message 1 is marked to be trained on and is not the assistant's",
        "{`messages`: [{`role`:`assistant`,`content`:`a`,`train_detail`:[{`begin_offset`:0}]}]} | 'train_detail' of message 1 is not supported",
        "{`system`:`a`,`messages`: [{`role`:`system`,`content`:`b`},{`role`:`assistant`,`content`:`a`}]} | has a system text beside the messages and another one in them",
        "{`history`:[[`a`,`b`]],`messages`: [{`role`:`assistant`,`content`:`a`}]} | 'history' beside messages is not supported",
        "{`system`:`a`,`prompt`:`p`,`completion`:`c`} | 'system' beside prompt and completion is not supported",
        "{`prompt`:`p`,`chosen`:`c`,`rejected`:`r`} | is preference data (chosen and rejected)",
        "{`messages`: [{`role`:`user`,`content`:`q`},{`role`:`assistant`,`content`:`a`}],`tools`:[{`name`:`f`}]} | 'tools' has no place in the model's chat template",
        "{`messages`: [{`role`:`user`,`content`:`q`},{`role`:`assistant`,`content`:`a`,`reasoning_content`:`r`}]} | 'reasoning_content' of a message has no place",
        "{`messages`: [{`role`:`user`,`content`:`q`},{`role`:`assistant`,`content`:`a`,`tool_calls`:[{`name`:`f`}]}]} | 'tool_calls' of a message has no place",
    })
    void whatCannotBeHonouredIsRefusedByName(String line, String message) {
        assertThatThrownBy(() -> trained("\n" + line.replace('`', '"') + "\n")).isInstanceOf(DataException.class)
                .hasMessageContaining("d.jsonl:2: " + message);
    }

    @Test
    void aNullKeyIsAnAbsentOneAndMessagesWinOverTheirPrompt() throws IOException {
        assertThat(trained("""
                {"text": "ba", "messages": null}
                {"text": null, "messages": [{"role": "user", "content": "q", "tool_calls": null}, {"role": "assistant", "content": "a"}], "tools": null}
                {"prompt": "q", "prompt_id": "1", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
                {"instruction": "Do", "input": null, "output": "x"}
                {"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "old"}, {"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "new"}]}
                """)).containsExactly("a</s>", "a<|im_end|>\n", "a<|im_end|>\n", "x</s>", "new<|im_end|>\n");
    }

    @Test
    void toolsAndReasoningReachATemplateThatTakesThem() throws IOException {
        model("bytes.json",
                "{% if tools %}T{{ tools|tojson }}\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
                        + "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
                        + "{% if m.content is string %}{{ m.content }}{% endif %}"
                        + "{% for c in m.tool_calls or [] %}CALL {{ c.function.name }} {{ c.function.arguments|tojson }}{% endfor %}"
                        + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
        Shown s = show("""
                {"tools": [{"name": "f", "n": 2}], "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"b": 1, "a": [true]}}}]}, {"role": "tool", "name": "f", "content": "3"}, {"role": "assistant", "reasoning_content": "hm", "content": "a"}]}
                {"tools": "[{\\"name\\": \\"f\\"}]", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
                """, TrainOn.COMPLETION);
        assertThat(s.whole.getFirst()).startsWith("T[{\"name\": \"f\", \"n\": 2}]\n<|im_start|>user\nq");
        assertThat(s.whole.getLast()).startsWith("T[{\"name\": \"f\"}]\n");
        assertThat(s.trained).containsExactly(
                "CALL f {\"b\": 1, \"a\": [true]}<|im_end|>\n<think>hm</think>a<|im_end|>\n", "a<|im_end|>\n");
    }

    @Test
    void callsInShareGptFilesAreAnswersWithToolCalls() throws IOException {
        model("bytes.json",
                "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
                        + "{% for c in m.tool_calls or [] %}{{ c.type }} {{ c.function.name }} {{ c.function.arguments|tojson }}{% endfor %}"
                        + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
        Shown s = show("""
                {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{\\"name\\": \\"f\\", \\"arguments\\": {\\"b\\": 1}}"}, {"from": "observation", "value": "3"}, {"from": "gpt", "value": "a"}]}
                {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "weight": 0, "value": "[{\\"name\\": \\"f\\", \\"arguments\\": {}}]"}, {"from": "observation", "value": "3"}, {"from": "gpt", "value": "a"}]}
                """, TrainOn.COMPLETION);
        assertThat(s.trained).containsExactly("function f {\"b\": 1}<|im_end|>\na<|im_end|>\n", "a<|im_end|>\n");
        assertThat(s.whole.getFirst()).contains("<|im_start|>tool\n3<|im_end|>");
        for (String value : List.of("f()", "{}", "[]", "[1]", "{\\\"name\\\": \\\"f\\\"}"))
            assertThatThrownBy(() -> show(
                    "{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, {\"from\": \"function_call\", \"value\": \""
                            + value + "\"}]}",
                    TrainOn.COMPLETION)).isInstanceOf(DataException.class)
                    .hasMessageContaining("the function_call of message 2 must hold");
    }

    @Test
    void aListOfOneTextIsThatTextAndOtherPartsAreNamed() throws IOException {
        String row =
                "{\"messages\": [{\"role\": \"user\", \"content\": %s}, {\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}]}]}";
        Shown s = show(row.formatted("[{\"type\": \"text\", \"text\": \"q\"}]"), TrainOn.COMPLETION);
        assertThat(s.whole).containsExactly("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n");
        assertThat(s.trained).containsExactly("a<|im_end|>\n");
        for (String[] c : new String[][] {
            {"[{\"type\": \"image_url\", \"image_url\": {\"url\": \"x\"}}]", "a part of type 'image_url'"},
            {"[{\"type\": \"text\", \"text\": \"q\"}, {\"type\": \"text\", \"text\": \"r\"}]", "has 2 parts"},
            {"[]", "has 0 parts"}, {"[{\"type\": \"text\"}]", "a part of type 'text'"},
            {"[3]", "a part of type 'text'"}})
            assertThatThrownBy(() -> show(row.formatted(c[0]), TrainOn.COMPLETION)).isInstanceOf(DataException.class)
                    .hasMessageContaining("d.jsonl:1: message 1 has").hasMessageContaining(c[1]);
    }

    /// The prompt opens a thought, which an answer in the middle of a conversation does not have.
    @Test
    void noTokenOfAnAnswerIsLostThatBeginsAsTheRestOfThePromptDoes() throws IOException {
        model("bytes.json", CHATML.replace("'<|im_start|>assistant\\n' }}", "'<|im_start|>assistant\\n<think>\\n' }}"));
        assertThat(trained("""
                {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<tag> a"}]}
                {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\\nx"}]}
                {"messages": [{"role": "assistant", "content": "<tag> b"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "<t"}]}
                """)).containsExactly("<tag> a<|im_end|>\n", "x<|im_end|>\n",
                "<tag> b<|im_end|>\n<t<|im_end|>\n");
    }

    @Test
    void aTemplateThatWritesNoEndOfTurnIsNamed() throws IOException {
        String row =
                "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"red\"}]}";
        assertThat(show(row, TrainOn.COMPLETION).notes).isEmpty();
        model("bytes.json", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
                + "{% if add_generation_prompt %}assistant: {% endif %}");
        for (TrainOn on : TrainOn.values())
            assertThat(show(row, on).notes).singleElement().asString()
                    .contains("d.jsonl: the chat template ends no answer with a token that stops generation");
    }

    /// A merge of the space before a word with it.
    @Test
    void aPromptHasTheTokensInTrainingThatItHasWhenItIsAsked() throws IOException {
        model("bpe.json", "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
                + "{% if add_generation_prompt %}assistant: {% endif %}");
        List<Example> examples = List.of(new Example.Completion("what is the colour = ", "red"),
                new Example.Completion("what is the colour =", " red"),
                new Example.Chat(List.of(new ChatTemplate.Message("user", "what is the colour"),
                        new ChatTemplate.Message("assistant", "red"), new ChatTemplate.Message("user", "the"),
                        new ChatTemplate.Message("assistant", "red"))));
        try (ModelText text = ModelText.load(dir)) {
            assertThat(text.tokenizer().encode("= red", false)).as("the merge").hasSizeLessThan(
                    text.tokenizer().encode("= ", false).length + text.tokenizer().encode("red", false).length);
            List<ModelText.Task> tasks = text.tasks(examples);
            for (int i = 0; i < examples.size(); i++) {
                ModelText.Masked m = text.masked(examples.get(i), false);
                ModelText.Task t = tasks.get(i);
                assertThat(Arrays.copyOf(m.tokens(), t.prompt().length)).as("%s", examples.get(i))
                        .containsExactly(t.prompt());
                assertThat(Arrays.copyOfRange(m.tokens(), t.prompt().length, m.tokens().length - 1))
                        .containsExactly(t.answer());
                assertThat(text.tokenizer().decode(t.answer()).strip()).isEqualTo("red");
            }
            assertThat(text.masked(examples.get(0), false).apart()).isTrue();
            assertThat(text.masked(examples.get(1), false).apart()).isFalse();
        }
        Shown s = show(
                "{\"prompt\": \"the colour = \", \"completion\": \"red\"}\n{\"prompt\": \"a\", \"completion\": \" b\"}\n",
                TrainOn.COMPLETION);
        assertThat(s.trained).containsExactly("red</s>", " b</s>");
        assertThat(s.notes).singleElement().asString().contains("in 1 of 2 examples a token would join the prompt");
    }

    @Test
    void theLastAnswerOfAConversationIsTheTask() throws IOException {
        try (ModelText text = ModelText.load(dir)) {
            ModelText.Task t = text.tasks(List.of(new Example.Text("no task"),
                    new Example.Chat(List.of(new ChatTemplate.Message("user", "u"),
                            new ChatTemplate.Message("assistant", "x"), new ChatTemplate.Message("user", "v"),
                            new ChatTemplate.Message("assistant", "yes"), new ChatTemplate.Message("user", "w"))),
                    new Example.Chat(List.of(new ChatTemplate.Message("user", "only"))),
                    new Example.Chat(List.of(new ChatTemplate.Message("user", "u"),
                            new ChatTemplate.Message("assistant", "bad").trained(false)))))
                    .stream().reduce((_, _) -> {
                        throw new AssertionError("one task");
                    }).orElseThrow();
            assertThat(text.tokenizer().decodeWithSpecial(t.prompt())).isEqualTo("<|im_start|>user\nu<|im_end|>\n"
                    + "<|im_start|>assistant\nx<|im_end|>\n<|im_start|>user\nv<|im_end|>\n<|im_start|>assistant\n");
            assertThat(text.tokenizer().decodeWithSpecial(t.answer())).isEqualTo("yes");
            assertThat(t.ends()).isTrue();
            assertThat(List.of(t.asked(), t.expected())).containsExactly("v", "yes");
        }
    }

    @Test
    void theDateOfARunIsTheOneThatItsTemplateShows() throws IOException {
        Files.writeString(dir.resolve("chat_template.jinja"), "{{ strftime_now('%d %b %Y') }}" + CHATML);
        var messages = List.of(new ChatTemplate.Message("user", "q"));
        try (ModelText text = ModelText.load(dir, LocalDateTime.of(2025, 7, 26, 0, 0))) {
            assertThat(text.tokenizer().decode(text.prompt(messages))).startsWith("26 Jul 2025user");
        }
        try (ModelText text = ModelText.load(dir)) {
            assertThatThrownBy(() -> text.prompt(messages)).hasMessageContaining("data.date in run.yaml, --date");
        }
    }

    /// Plain text needs no template.
    @Test
    void aTemplateThatCannotBeParsedIsNoMatterForPlainText() throws IOException {
        model("bytes.json", "{% unless x %}");
        assertThat(show("{\"text\": \"hi\"}", TrainOn.ALL).whole).containsExactly("hi</s>");
        try (ModelText text = ModelText.load(dir)) {
            assertThat(text.tokenizer().decode(text.prompt("hi"))).isEqualTo("hi");
        }
        assertThatThrownBy(() -> trained("{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}"))
                .hasMessageContaining("the tag 'unless' is not supported");
    }

    /// Values of transformers 5.18.
    @Test
    void theFlagsOfAddedTokensDecoderWinOverThoseOfTokenizerJson() throws IOException {
        Map<String, Integer> lengths = Map.of("\"lstrip\": true, \"rstrip\": true", 3, "\"lstrip\": true", 4, "", 5);
        for (Map.Entry<String, Integer> e : lengths.entrySet()) {
            Files.writeString(dir.resolve("tokenizer_config.json"), """
                    {"bos_token": "<s>", "eos_token": "</s>", "added_tokens_decoder": {"259": {"content": "<|im_end|>", "special": true
                    """ + (e.getKey().isEmpty() ? "" : ", ") + e.getKey() + "}}}");
            try (ModelText text = ModelText.load(dir)) {
                assertThat(text.tokenizer().encode("a <|im_end|> b", false)).as(e.getKey()).hasSize(e.getValue())
                        .startsWith(64).endsWith(65).contains(259);
            }
        }
    }
}
