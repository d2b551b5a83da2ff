package dev.gyre.model.token;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.node.ObjectNode;

/// Files with which Hugging Face's library ends the process or takes all memory.
class HostileTokenizerTest {
    @TempDir
    Path dir;

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = Objects.requireNonNull(
                HostileTokenizerTest.class.getResourceAsStream("/dev/gyre/model/fuzz/" + name + ".json"))) {
            return in.readAllBytes();
        }
    }

    private Path changed(String name, Consumer<ObjectNode> change) throws IOException {
        byte[] b = resource(name);
        ObjectNode o = Json.parseObject(Path.of(name), "", b, 0, b.length);
        change.accept(o);
        return Files.write(dir.resolve("tokenizer.json"), Json.MAPPER.writeValueAsBytes(o));
    }

    private void assertRefused(Path file, String... words) {
        assertThatThrownBy(() -> HfTokenizer.open(file).close()).isInstanceOf(FormatException.class)
                .hasMessageContainingAll(words);
    }

    private static ObjectNode json(String text) {
        return (ObjectNode) Json.MAPPER.readTree(text.replace('\'', '"'));
    }

    @ParameterizedTest
    @CsvSource({"tokenizer-abort-1, nesting depth (25) exceeds the maximum", "tokenizer-abort-2, single has the piece",
        "tok-regex, the regular expression '(a+)+$' repeats what can itself match in several ways",
        "tok-replace-chain, normalizer: makes more than 16 characters of one"})
    void theFoundFilesAreRefused(String name, String problem) throws IOException {
        assertRefused(Files.write(dir.resolve("tokenizer.json"), resource(name)), problem);
    }

    @ParameterizedTest
    @ValueSource(strings = {"(a+)+$", "(a|a)*b", "(?:a?){30}a{30}", "a*a*b", "(a*)*", "(?:a|b)+c", "(.)\\1+",
        "(?<n>a)\\k<n>",
        "a{1,2}{1,9}+b", "a**", "(?(1)a|b)", "(", "[a", "\\R+x", "(?x)a", "a{300,}b", "\\s*(?=\\s*x)",
        "((((((a?)?)?)?)?)?)?b"})
    void expressionsThatMayNotEndAreRefused(String regex) throws IOException {
        assertRefused(
                changed("tok-regex", o -> ((ObjectNode) o.path("pre_tokenizer").path("pattern")).put("Regex", regex)),
                "pre_tokenizer: the regular expression");
    }

    /// Of GPT-2, Llama 3, Qwen 2, o200k, Mistral's tekken, DeepSeek, Bloom, Falcon, Llama 2's legacy and XLM-R's.
    @ParameterizedTest
    @ValueSource(strings = {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        " ?[^(\\s|[.,!?…。，、।۔،])]+", "[0-9][0-9][0-9]", "[\\r\\n]", "\\s?\\p{L}+", "[一-龥ࠀ-一가-퟿]+", "\\s+$", " {2,}"})
    void expressionsOfPublishedTokenizersAreAccepted(String regex) throws IOException {
        Path file =
                changed("tok-regex", o -> ((ObjectNode) o.path("pre_tokenizer").path("pattern")).put("Regex", regex));
        try (HfTokenizer t = HfTokenizer.open(file)) {
            String text = "It's 12345 words,  and more…\n\n  (漢字) \t end" + " ".repeat(5000) + "a".repeat(5000);
            assertThat(t.encode(text, false)).isNotEmpty();
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = ';', value = {
        "decoder; {'type': 'Strip', 'content': ' ', 'start': 0, 'stop': 1}; stop is not",
        "decoder; {'type': 'Nothing'}; type 'Nothing' is not known",
        "pre_tokenizer; {'type': 'FixedLength', 'length': 0}; length is not",
        "normalizer; {'type': 'Replace', 'pattern': {'String': ''}, 'content': 'aaaaaaaaaaaaaaaaaaaaaaaa'}; more than 16",
        "normalizer; {'type': 'Sequence', 'normalizers': [{'type': 'Replace', 'pattern': {'Regex': 'x*'}, 'content': ' '}, {'type': 'Lowercase'}, {'type': 'Strip', 'strip_left': true, 'strip_right': false}]}; Strip comes after a Replace",
        "normalizer; {'type': 'Precompiled', 'precompiled_charsmap': 'BAAAAP////8='}; precompiled_charsmap is damaged",
        "normalizer; {'type': 'Precompiled', 'precompiled_charsmap': ''}; precompiled_charsmap is damaged",
        "post_processor; {'type': 'BertProcessing', 'sep': ['</s>', 2], 'cls': ['<s>', 4294967295]}; cls is not a token with its id",
        "post_processor; {'type': 'TemplateProcessing', 'single': [{'Sequence': {'id': 'B', 'type_id': 0}}], 'pair': [], 'special_tokens': {}}; single has the piece"})
    void partsThatEndTheProcessAreRefused(String key, String part, String problem) throws IOException {
        assertRefused(changed("unigram", o -> o.set(key, json(part))), key, problem);
    }

    @Test
    void numbersOfTokensHaveLimits() throws IOException {
        for (long id : new long[] {-1, Integer.MAX_VALUE, 1L << 31, 1L << 32, Long.MAX_VALUE}) {
            assertRefused(changed("tok-regex", o -> {
                o.putNull("pre_tokenizer");
                ((ObjectNode) o.path("model").path("vocab")).put("zz", id);
            }), "token 'zz'", "its id " + id);
            assertRefused(changed("unigram", o -> ((ObjectNode) o.path("added_tokens").get(0)).put("id", id)),
                    "its id " + id);
        }
    }

    @Test
    void mergesMustFitThePrefixThatTheLibraryCutsOff() throws IOException {
        assertRefused(changed("tokenizer-abort-2", o -> {
            o.putNull("post_processor");
            ((ObjectNode) o.path("model")).put("continuing_subword_prefix", "####");
        }), "continuing_subword_prefix '####'");
    }

    @Test
    void whatIsInOrderIsRead() throws IOException {
        try (HfTokenizer t = HfTokenizer.open(changed("unigram", _ -> {
        }))) {
            assertThat(t.encode("a", true)).startsWith(1).endsWith(2);
        }
    }

    @Test
    void aStretchThatTheLibraryCannotSplitIsRefused() throws IOException {
        Path file = changed("tok-regex",
                o -> ((ObjectNode) o.path("pre_tokenizer").path("pattern")).put("Regex", "[ab]?\\s*[\\r\\n]+|\\s+"));
        try (HfTokenizer t = HfTokenizer.open(file)) {
            assertThatThrownBy(() -> t.encode(" ".repeat(9_000_000), false)).isInstanceOf(InputException.class)
                    .hasMessageContaining("characters in a row");
        }
    }

    @Test
    void aPipeIsRefusedAtOnce() throws Exception {
        Path pipe = dir.resolve("tokenizer.json");
        assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor()).isZero();
        assertRefused(pipe, "is a pipe, a socket or a device");
        assertThatThrownBy(() -> Tokenizers.load(dir)).hasMessageContaining("is a pipe");
    }

    @Test
    void otherTokenizersAreNamed() throws IOException {
        Files.writeString(dir.resolve("tekken.json"), "{}");
        assertThatThrownBy(() -> Tokenizers.load(dir)).isInstanceOf(FormatException.class)
                .hasMessageContainingAll("tekken.json", "convert_tekken_tokenizer").hasMessageNotContaining("source");
        Files.write(dir.resolve("chat_template.jinja"), new byte[] {'c', 'a', 'f', (byte) 0xe9});
        assertThatThrownBy(() -> ChatTemplate.load(dir)).isInstanceOf(FormatException.class)
                .hasMessageContaining("chat_template.jinja: not UTF-8 text; save it as UTF-8");
    }
}
