package dev.gyre.model.token;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.token.ChatTemplate.Message;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class ChatTemplateTest {
    private static final JsonNode CASES = read();
    @TempDir
    Path dir;

    private static JsonNode read() {
        try (var in = ChatTemplateTest.class.getResourceAsStream("/chat/cases.json")) {
            return JsonMapper.builder().build().readTree(in);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static ChatTemplate template(String source) {
        Map<String, Object> variables = new HashMap<>();
        CASES.path("variables").properties().forEach(e -> variables.put(e.getKey(), e.getValue().stringValue()));
        return ChatTemplate.of(Path.of("m", "tokenizer_config.json"), source, variables);
    }

    private static ChatTemplate named(String name) {
        return template(CASES.path("templates").path(name).stringValue());
    }

    private static List<Message> messages(JsonNode list) {
        List<Message> all = new ArrayList<>();
        list.forEach(m -> all.add(new Message(m.path("role").stringValue(), m.path("content").stringValue())));
        return all;
    }

    private static List<Message> chat(String... rolesAndTexts) {
        List<Message> all = new ArrayList<>();
        for (int i = 0; i < rolesAndTexts.length; i += 2)
            all.add(new Message(rolesAndTexts[i], rolesAndTexts[i + 1]));
        return all;
    }

    static List<JsonNode> conversations() {
        List<JsonNode> all = new ArrayList<>();
        CASES.path("conversations").forEach(all::add);
        return all;
    }

    static List<JsonNode> snippets() {
        List<JsonNode> all = new ArrayList<>();
        CASES.path("snippets").forEach(all::add);
        return all;
    }

    @ParameterizedTest
    @MethodSource("snippets")
    void expressionsAndStatementsMeanWhatTheyMeanInPython(JsonNode snippet) {
        assertThat(template(snippet.path("source").stringValue()).render(chat("user", "u"), false))
                .isEqualTo(snippet.path("text").stringValue());
    }

    @ParameterizedTest
    @MethodSource("conversations")
    void conversationsRenderAsTransformersRendersThem(JsonNode c) {
        ChatTemplate template = named(c.path("template").stringValue());
        List<Message> messages = messages(c.path("messages"));
        boolean prompt = c.path("add_generation_prompt").booleanValue();
        if (c.has("error")) {
            assertThatThrownBy(() -> template.render(messages, prompt)).isInstanceOf(InputException.class)
                    .hasMessageContaining(c.path("error").stringValue());
            return;
        }
        String text = c.path("text").stringValue();
        assertThat(template.render(messages, prompt)).isEqualTo(text);
        if (prompt)
            return;
        ChatTemplate.Rendered rendered = template.render(messages);
        assertThat(rendered.text()).isEqualTo(text);
        if (c.has("generation")) {
            List<String> expected = new ArrayList<>();
            for (JsonNode g : c.path("generation"))
                expected.add(text.substring(text.offsetByCodePoints(0, g.get(0).intValue()),
                        text.offsetByCodePoints(0, g.get(1).intValue())));
            assertThat(answers(rendered)).isEqualTo(expected);
        }
    }

    private static List<String> answers(ChatTemplate.Rendered r) {
        return r.answers().stream().map(s -> r.text().substring(s.from(), s.to())).toList();
    }

    @ParameterizedTest
    @CsvSource({"llama3,4<|eot_id|>,six<|eot_id|>", "llama3-with-date,4<|eot_id|>,six<|eot_id|>",
        "chatml-default-system,'4<|im_end|>\n','six<|im_end|>\n'",
        "qwen3,'4<|im_end|>\n','<think>\n\n</think>\n\nsix<|im_end|>\n'", "mistral,' 4 </s>',' six </s>'",
        "generation,4</s>,six</s>", "prompt-or-end,'4<|end|>\n','six<|end|>\n'",
        "macro,'\n<assistant>4<stop>\n','\n<assistant>six<stop>\n'"})
    void whatTheAssistantSaysIsFoundWithItsEndButWithoutItsHeader(String name, String first, String second) {
        var messages = chat("system", "Be brief.", "user", "2+2?", "assistant", "4", "user", "3+3?", "assistant",
                "six");
        ChatTemplate.Rendered r = named(name).render(messages);
        assertThat(answers(r).stream().map(String::strip)).containsExactly(first.strip(), second.strip());
        assertThat(r.answers()).extracting(ChatTemplate.Span::message).containsExactly(2, 4);
        assertThat(r.turns()).extracting(ChatTemplate.Span::role).contains("user", "assistant");
    }

    @Test
    void answersAreFoundWithoutALoopOverMessages() {
        ChatTemplate t = template("{% if messages %}U:{{ messages[0].content }};{% endif %}{% if messages|length > 1 %}"
                + "A:{{ messages[1].content }};{% endif %}{% if add_generation_prompt %}A:{% endif %}");
        assertThat(answers(t.render(chat("user", "hi", "assistant", "yo")))).containsExactly("yo;");
    }

    @Test
    void answersInTokensAreMarkedEvenBehindCharactersOutsideTheBasicPlane() {
        var tokenizer = new ByteTokenizer(List.of("<u>", "<a>"), null);
        ChatTemplate t = template("{% for m in messages %}{{ '<u>' if m.role == 'user' else '<a>' }}{{ m.content }}"
                + "{{ '<|eos|>' if m.role == 'assistant' }}{% endfor %}{{ '<a>' if add_generation_prompt }}");
        ChatTemplate.Tokens tokens = t.tokens(tokenizer, chat("user", "a🙂", "assistant", "ö!", "user", "<b"));
        int[] expected = {259, 'a', 0xf0, 0x9f, 0x99, 0x82, 260, 0xc3, 0xb6, '!', 257, 259, '<', 'b'};
        assertThat(tokens.encoding().ids()).containsExactly(expected);
        assertThat(tokens.answer().stream().toArray()).containsExactly(7, 8, 9, 10);
    }

    @ParameterizedTest
    @CsvSource(delimiterString = " => ", quoteCharacter = '`', value = {
        "{% if x %} => line 1: the template ends where", "{{ 'a => line 1: a string is not closed",
        "{{ 1 + }} => line 1: a value is expected", "`x\n{% unless a %}` => line 2: the tag 'unless' is not supported",
        "{% endif %} => has no beginning", "{{ a.b.c }} => 'a' is undefined",
        "{{ 1 | frob }} => there is no filter 'frob'",
        "{{ 1 is frob }} => there is no test 'frob'", "{{ frob() }} => 'frob' is undefined, so it cannot be called",
        "{{ 'a' + 1 }} => cannot compute",
        "{{ 1 // 0 }} => by zero",
        "`{% for i in range(2000) %}{% for j in range(2000) %}{% endfor %}{% endfor %}` => more than 1000000 steps",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }} => inside each other (macros that call each other without end?)",
        "{# x => a comment does not end",
        "{{ strftime_now('%d') }} => must not depend on the day", "{% for a, b in [1] %}{% endfor %} => has no items",
        "{% set x.y = 1 %} => no namespace", "{{ 9223372036854775807 + 1 }} => beyond 64 bits",
        "{{ 'a' < 1 }} => cannot compare",
        "{{ x } => line 1", "{{ 99999999999999999999 }} => beyond 64 bits",
        "{{ 'a'.frob() }} => 'a' has no 'frob', so it cannot be called",
        "{{ ] }} => line 1"})
    void aTemplateThatCannotBeRenderedIsNamedWithFileAndLine(String source, String problem) {
        assertThatThrownBy(() -> template(source).render(chat("user", "u"), false)).isInstanceOf(FormatException.class)
                .hasMessageContaining("tokenizer_config.json: chat template, line").hasMessageContaining(problem);
    }

    /// The inputs of shared bug reports: named arguments, blocks, options of tojson.
    @Test
    void namedArgumentsAndOptionsAreHonoured() {
        var split = template(
                "{% for m in messages %}{{ m.role }}={{ m.content.split(':', maxsplit=1)[-1] }}\n{% endfor %}");
        assertThat(split.render(chat("user", "q", "assistant", "a:b:c"), false)).isEqualTo("user=q\nassistant=b:c\n");
        var call = template("{% macro w(x) %}<{{ caller() }}>{% endmacro %}{% for m in messages %}{% call w(m) %}"
                + "{{ m.content }}{% endcall %}{% endfor %}");
        assertThat(call.render(chat("user", "hi", "assistant", "yo"), false)).isEqualTo("<hi><yo>");
        var json =
                template("{% for m in messages %}{{ m|tojson(separators=(',', ':')) }} {{ m|tojson(sort_keys=true) }} "
                        + "{{ m.content|tojson(ensure_ascii=true) }} {{ m.content|tojson }}{% endfor %}");
        assertThat(json.render(chat("user", "é\u001b"), false)).isEqualTo("{\"role\":\"user\",\"content\":\"é\\u001b\"}"
                + " {\"content\": \"é\\u001b\", \"role\": \"user\"} \"\\u00e9\\u001b\" \"é\\u001b\"");
        assertThatThrownBy(() -> template("{{ nothing|tojson }}").render(chat("user", "u"), false))
                .hasMessageContaining("the filter 'tojson' cannot write 'nothing' is undefined");
    }

    /// Text that needs no template can be used with a model whose template cannot be read.
    @Test
    void aTemplateThatCannotBeReadIsRefusedWhenItIsNeeded() throws IOException {
        Files.writeString(dir.resolve("chat_template.jinja"), "{% unless x %}");
        ChatTemplate t = ChatTemplate.load(dir);
        assertThat(t).isNotNull();
        assertThatThrownBy(() -> t.render(chat("user", "u"), false)).isInstanceOf(FormatException.class)
                .hasMessageContaining("the tag 'unless' is not supported");
    }

    @Test
    void theDateIsTheOneGiven() {
        String source = "{{ strftime_now('%d %B %Y') if strftime_now is defined else 'no date' }}";
        assertThat(ChatTemplate.of(Path.of("t"), source, Map.of()).render(chat("user", "u"), false))
                .isEqualTo("no date");
        assertThat(ChatTemplate.of(Path.of("t"), source, Map.of(), LocalDateTime.of(2025, 7, 6, 1, 2))
                .render(chat("user", "u"), false)).isEqualTo("06 July 2025");
    }

    /// A generation block in a macro or a captured part is found where that is written.
    @ParameterizedTest
    @CsvSource({"'{% macro w(m) %}<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}"
            + "{% for m in messages %}{% if m.role == \"assistant\" %}{{ w(m) }}{% else %}{{ m.content }}{% endif %}{% endfor %}'",
        "'{% for m in messages %}{% set x %}[{% if m.role == \"assistant\" %}{% generation %}{{ m.content }}"
                + "{% endgeneration %}{% else %}{{ m.content }}{% endif %}]{% endset %}-{{ x }}{% endfor %}'"})
    void generationInsideMacrosIsFound(String source) {
        assertThat(
                answers(template(source).render(chat("user", "hi", "assistant", "yo", "user", "a", "assistant", "so"))))
                .containsExactly("yo", "so");
    }

    @Test
    void generationWhoseTextIsChangedIsRefusedForTrainingOnly() {
        ChatTemplate t =
                template("{% for m in messages %}\n{% set x %}{% generation %}{{ m.content }}{% endgeneration %}"
                        + "{% endset %}{{ x | trim }}{% endfor %}");
        assertThat(t.render(chat("assistant", " yo "), false)).isEqualTo("yo");
        assertThatThrownBy(() -> t.render(chat("assistant", " yo "))).isInstanceOf(FormatException.class)
                .hasMessageContaining("line 2: the text of the {% generation %} block is changed before it is written");
    }

    /// As transformers calls a template: without tools and documents, which are there all the same.
    @Test
    void toolsAndDocumentsAreNone() {
        assertThat(ChatTemplate.of(Path.of("t"), "{% if tools is not none %}T{% endif %}{{ tools is defined }} "
                + "{{ documents is none }}{% if tools %}T{% endif %}", Map.of()).render(chat("user", "hi"), false))
                .isEqualTo("True True");
        assertThat(ChatTemplate.of(Path.of("t"), "{{ tools | selectattr('type', 'equalto', 'x') | list | length }}"
                + "{{ tools | rejectattr('a') | list }}{{ tools | map(attribute='a') | list }}{{ tools | select | list }}",
                Map.of()).render(chat("user", "hi"), false)).isEqualTo("0[][][]");
    }

    @Test
    void theTemplateOfADirectoryIsFoundWithItsSpecialTokens() throws IOException {
        assertThat(ChatTemplate.load(dir)).isNull();
        Path config = dir.resolve("tokenizer_config.json");
        Files.writeString(config, "{\"bos_token\":\"<s>\"}");
        assertThat(ChatTemplate.load(dir)).isNull();
        Files.writeString(config, """
                {"bos_token": {"content": "<s>", "special": true}, "eos_token": "</s>", "unk_token": null,
                 "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ unk_token }}"}""");
        assertThat(render()).isEqualTo("<s>hi</s>");
        Files.writeString(config, """
                {"bos_token": "<s>", "chat_template": [{"name": "tool_use", "template": "t"},
                 {"name": "default", "template": "d{{ bos_token }}"}]}""");
        assertThat(render()).isEqualTo("d<s>");
        Files.writeString(dir.resolve("chat_template.json"), "{\"chat_template\": \"p{{ bos_token }}\"}");
        assertThat(render()).isEqualTo("p<s>");
        Files.writeString(dir.resolve("chat_template.jinja"), "j{{ bos_token }}\n");
        assertThat(render()).isEqualTo("j<s>");
    }

    private String render() {
        ChatTemplate t = ChatTemplate.load(dir);
        assertThat(t).isNotNull();
        return t.render(chat("user", "hi"), false);
    }
}
