package dev.gyre.model.token;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenizerTest {
    @TempDir
    Path dir;

    /// Texts of ASCII, accents, CJK, emoji, white space and spelt-out special tokens.
    private static String text(SplittableRandom random) {
        String[] parts = {"a", " ", "the", "\n", "ä", "ß", "漢字", "🙂", "👩‍👧", "<|eos|>", "<|bos|", "\t", "é", "0",
            "'s", "<|user|>", " ", "\u0000", "ﬀ"};
        var s = new StringBuilder();
        for (int n = random.nextInt(12); n > 0; n--)
            s.append(parts[random.nextInt(parts.length)]);
        return s.toString();
    }

    @Test
    void bytesAreIdsAndSpecialTokensFollow() {
        var t = new ByteTokenizer(List.of("<|user|>", "<|user|>x"), null);
        assertThat(t.encode("aé", false)).containsExactly('a', 0xc3, 0xa9);
        assertThat(t.encode("a", true)).containsExactly(256, 'a');
        assertThat(t.encode("<|eos|>b<|user|>xc<|user|>", false)).containsExactly(257, 'b', 260, 'c', 259);
        assertThat(t.encode("<|eo", false)).hasSize(4);
        assertThat(t.decode(256, 'a', 0xc3, 0xa9, 257, 258)).isEqualTo("aé");
        assertThat(t.decodeWithSpecial(256, 'a', 257)).isEqualTo("<|bos|>a<|eos|>");
        assertThat(t.decode(0xff, 'a')).isEqualTo("\uFFFDa");
        assertThat(t.vocabSize()).isEqualTo(261);
        assertThat(t.special("<|user|>")).isEqualTo(259);
        assertThatThrownBy(() -> t.decode(261)).isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("261");
        assertThatThrownBy(() -> t.special("<|x|>")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new ByteTokenizer(List.of("<|bos|>"), null))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void textComesBackFromItsIds() {
        var random = new SplittableRandom(1);
        try (Tokenizer t = new ByteTokenizer(List.of("<|user|>"), null)) {
            for (int run = 0; run < 500; run++) {
                String s = text(random);
                Encoding e = t.encodeWithOffsets(s, false);
                assertThat(t.decodeWithSpecial(e.ids())).isEqualTo(s);
                assertOffsets(t, s, e);
            }
        }
    }

    /// Offsets grow, and the tokens from one boundary to the next are those of the text between.
    private static void assertOffsets(Tokenizer t, String s, Encoding e) {
        for (int i = 0; i < e.size(); i++) {
            assertThat(e.from(i) <= e.to(i) && e.to(i) <= s.length()).isTrue();
            if (i > 0)
                assertThat(e.from(i) >= e.from(i - 1)).as("%s at %d", s, i).isTrue();
        }
        if (e.size() > 0) {
            assertThat(e.from(0)).isZero();
            assertThat(e.to(e.size() - 1)).isEqualTo(s.length());
        }
    }

    /// Half an emoji is what scripts leave that cut texts to a number of UTF-16 units; JSON can write it down.
    @Test
    void halfACharacterShiftsNoOffsetBehindIt() {
        new ByteTokenizer().save(dir);
        String s = "a \ud83d b\udc00\ud83d\ude42c";
        try (Tokenizer t = HfTokenizer.open(dir.resolve(HfTokenizer.FILE))) {
            Encoding e = t.encodeWithOffsets(s, false);
            assertOffsets(t, s, e);
            assertThat(t.decode(e.ids())).isEqualTo("a \uFFFD b\uFFFD\ud83d\ude42c");
            assertThat(t.encode(s, false)).isEqualTo(e.ids());
            int b = 0;
            while (e.id(b) != 'b')
                b++;
            assertThat(e.from(b)).isEqualTo(s.indexOf('b'));
        }
    }

    @Test
    void theSavedFilesGiveTheSameIdsToHuggingFacesLibrary() throws IOException {
        var own = new ByteTokenizer(List.of("<|user|>"), "{{ bos_token }}");
        own.save(dir);
        try (Tokenizer loaded = Tokenizers.load(dir); Tokenizer hf = HfTokenizer.open(dir.resolve("tokenizer.json"))) {
            assertThat(loaded).isInstanceOf(ByteTokenizer.class);
            for (Tokenizer t : List.of(loaded, hf)) {
                assertThat(t.vocabSize()).isEqualTo(260);
                assertThat(List.of(t.bosId(), t.eosId(), t.padId())).containsExactly(256, 257, 258);
            }
            var random = new SplittableRandom(2);
            for (int run = 0; run < 500; run++) {
                String s = text(random);
                for (boolean special : new boolean[] {false, true}) {
                    assertThat(hf.encode(s, special)).as(s).containsExactly(own.encode(s, special));
                    assertThat(loaded.encode(s, special)).containsExactly(own.encode(s, special));
                }
                int[] ids = own.encode(s, true);
                assertThat(hf.decode(ids)).isEqualTo(own.decode(ids));
                assertThat(hf.decodeWithSpecial(ids)).isEqualTo(own.decodeWithSpecial(ids));
                Encoding a = own.encodeWithOffsets(s, false);
                Encoding b = hf.encodeWithOffsets(s, false);
                for (int i = 0; i < a.size(); i++)
                    assertThat(b.from(i)).as("%s at %d", s, i).isEqualTo(a.from(i));
                assertOffsets(hf, s, b);
            }
        }
        assertThat(ChatTemplate.load(dir)).isNotNull();
    }

    @Test
    void aStreamGivesTheTextOfAllIdsWhateverTheBytes() {
        var random = new SplittableRandom(3);
        try (Tokenizer t = new ByteTokenizer()) {
            for (int run = 0; run < 2000; run++) {
                byte[] good = text(random).getBytes(StandardCharsets.UTF_8);
                int n = run % 2 == 0 ? good.length : random.nextInt(30);
                int[] ids = new int[n];
                for (int i = 0; i < n; i++)
                    ids[i] = run % 2 == 0 ? good[i] & 0xff
                            : new int[] {0xf0, 0x9f, 0x99, 0x82, 0xc3, 'a', 0xff, 0xe2}[random.nextInt(8)];
                assertThat(streamed(t, ids)).isEqualTo(t.decode(ids));
            }
        }
    }

    private static String streamed(Tokenizer t, int[] ids) {
        StreamDecoder stream = t.stream();
        var s = new StringBuilder();
        for (int id : ids)
            s.append(stream.add(id));
        return s.append(stream.finish()).toString();
    }

    @Test
    void anUnfinishedCharacterIsHeldBackAndNothingElse() {
        try (Tokenizer t = new ByteTokenizer()) {
            StreamDecoder s = t.stream();
            assertThat(s.add('a')).isEqualTo("a");
            assertThat(s.add(0xf0)).isEmpty();
            assertThat(s.add(0x9f)).isEmpty();
            assertThat(s.add(0x99)).isEmpty();
            assertThat(s.add(0x82)).isEqualTo("🙂");
            assertThat(s.add(257)).isEmpty();
            assertThat(s.add('b')).isEqualTo("b");
            assertThat(s.add(0xc3)).isEmpty();
            assertThat(s.finish()).isEqualTo("\uFFFD");
            assertThat(s.finish()).isEmpty();
        }
    }

    /// A vocabulary like Llama 2's: words start with U+2581, unknown characters fall back to bytes, text gets a space in
    /// front, which decoding takes away again.
    private Path sentencePieceLike() throws IOException {
        List<String> tokens = new ArrayList<>(List.of("<unk>", "<s>", "</s>"));
        for (int b = 0; b < 256; b++)
            tokens.add(String.format("<0x%02X>", b));
        for (String s : List.of("▁", "h", "i", "t", "e", "r", "▁h", "▁hi", "▁t", "re", "▁there".substring(0, 2) + "e"))
            if (!tokens.contains(s))
                tokens.add(s);
        var vocab = new StringBuilder();
        for (int i = 0; i < tokens.size(); i++)
            vocab.append(i == 0 ? "" : ",").append('"').append(tokens.get(i)).append("\":").append(i);
        String json = """
                {"version":"1.0","truncation":null,"padding":null,
                 "added_tokens":[{"id":0,"content":"<unk>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
                  {"id":1,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
                  {"id":2,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
                 "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
                 "pre_tokenizer":null,
                 "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
                  "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},
                 "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
                 "model":{"type":"BPE","dropout":null,"unk_token":"<unk>","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,"byte_fallback":true,
                  "vocab":{%s},"merges":["▁ h","▁h i","▁ t","r e"]}}"""
                .formatted(vocab);
        Path file = Files.writeString(dir.resolve("tokenizer.json"), json);
        Files.writeString(dir.resolve("tokenizer_config.json"),
                "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\", \"pad_token\": null}");
        return file;
    }

    @Test
    void aTokenizerWithWordMarksAndByteFallbackWorksThroughout() throws IOException {
        sentencePieceLike();
        try (Tokenizer t = Tokenizers.load(dir)) {
            assertThat(t).isInstanceOf(HfTokenizer.class);
            assertThat(List.of(t.bosId(), t.eosId(), t.padId())).containsExactly(1, 2, -1);
            assertThat(t.vocabSize()).isEqualTo(3 + 256 + 11);
            for (String s : List.of("hi", "hi there", "hi  there", "hi 🙂 there", "ä", "🙂🙂hi")) {
                int[] ids = t.encode(s, true);
                assertThat(ids[0]).isEqualTo(1);
                assertThat(t.decode(ids)).isEqualTo(s);
                assertThat(streamed(t, ids)).isEqualTo(s);
                Encoding e = t.encodeWithOffsets(s, false);
                for (int i = 1; i < e.size(); i++)
                    assertThat(e.from(i) >= e.from(i - 1) && e.to(i) <= s.length()).isTrue();
                int at = s.indexOf("there");
                if (at > 0)
                    assertThat(java.util.stream.IntStream.range(0, e.size())
                            .anyMatch(i -> e.to(i) > at && e.from(i) <= at)).isTrue();
            }
        }
    }

    /// Whatever a model says: bytes that are no characters, special tokens in between, spaces at the start.
    @ParameterizedTest
    @ValueSource(strings = {
        "{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'▁'},'content':' '},{'type':'ByteFallback'},{'type':'Fuse'},{'type':'Strip','content':' ','start':1,'stop':0}]}",
        "{'type':'Sequence','decoders':[{'type':'ByteFallback'},{'type':'Metaspace','replacement':'▁','prepend_scheme':'always','split':false}]}",
        "{'type':'Metaspace','replacement':'▁','prepend_scheme':'first','split':true}",
        "{'type':'WordPiece','prefix':'▁','cleanup':true}", "{'type':'BPEDecoder','suffix':'▁h'}", "null"})
    void theStreamOfAnyIdsGivesTheTextOfAll(String decoder) throws IOException {
        String json = Files.readString(sentencePieceLike());
        int from = json.indexOf("\"decoder\":") + 10;
        Files.writeString(dir.resolve("tokenizer.json"), json.substring(0, from) + decoder.replace('\'', '"')
                + json.substring(json.indexOf(",\n", from)));
        var random = new SplittableRandom(7);
        try (Tokenizer t = Tokenizers.load(dir)) {
            for (int run = 0; run < 3000; run++) {
                int[] ids = new int[1 + random.nextInt(12)];
                for (int i = 0; i < ids.length; i++)
                    ids[i] = switch (random.nextInt(4)) {
                        case 0 -> 3 + new int[] {0xf0, 0x9f, 0x99, 0x82, 0xc3, 'a', ' ', 0xe2}[random.nextInt(8)];
                        case 1 -> random.nextInt(3);
                        default -> 259 + random.nextInt(11);
                    };
                assertThat(streamed(t, ids)).as("%s", Arrays.toString(ids)).isEqualTo(t.decode(ids));
            }
        }
    }

    /// Before tokenizer_config.json had `added_tokens_decoder`, what special_tokens_map.json says counted more.
    @Test
    void specialTokensOfOlderFilesAreFound() throws IOException {
        sentencePieceLike();
        Path config = dir.resolve("tokenizer_config.json");
        Path map = dir.resolve("special_tokens_map.json");
        Files.writeString(map, "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"re\"}");
        String template = "\"chat_template\": \"{{ bos_token }}{{ eos_token }}\"";
        Files.writeString(config, "{\"eos_token\": \"</s>\", " + template + "}");
        try (Tokenizer t = Tokenizers.load(dir)) {
            assertThat(t.bosId()).isEqualTo(1);
            assertThat(t.decodeWithSpecial(t.eosId())).isEqualTo("re");
        }
        assertThat(Objects.requireNonNull(ChatTemplate.load(dir)).render(List.of(), false)).isEqualTo("<s>re");
        Files.writeString(config, "{\"eos_token\": \"</s>\", \"added_tokens_decoder\": {}, " + template + "}");
        try (Tokenizer t = Tokenizers.load(dir)) {
            assertThat(List.of(t.bosId(), t.eosId())).containsExactly(-1, 2);
        }
        assertThat(Objects.requireNonNull(ChatTemplate.load(dir)).render(List.of(), false)).isEqualTo("</s>");
    }

    /// transformers adds such tokens when it loads the files; Gyre would take their text apart.
    @Test
    void addedTokensThatTokenizerJsonDoesNotHaveAreRefused() throws IOException {
        sentencePieceLike();
        Path config = dir.resolve("tokenizer_config.json");
        for (String field : List.of("'added_tokens_decoder': {'270': {'content': '<tool>', 'special': true}}",
                "'additional_special_tokens': ['<s>', '<tool>']", "'extra_special_tokens': {'tool_token': '<tool>'}",
                "'extra_special_tokens': [{'content': '<tool>'}]", "'eos_token': '<tool>'")) {
            Files.writeString(config, ("{'bos_token': '<s>', " + field + "}").replace('\'', '"'));
            assertThatThrownBy(() -> Tokenizers.load(dir)).as(field).isInstanceOf(FormatException.class)
                    .hasMessageContaining("tokenizer.json").hasMessageContaining("'<tool>'")
                    .hasMessageContaining("save_pretrained");
        }
        Files.writeString(config,
                "{\"added_tokens_decoder\": {\"260\": {\"content\": \"h\"}}, \"pad_token\": \"[P]\"}");
        Tokenizers.load(dir).close();
        Files.writeString(dir.resolve("added_tokens.json"), "{\"<tool>\": 270}");
        assertThatThrownBy(() -> Tokenizers.load(dir)).hasMessageContaining("'<tool>'");
    }

    @Test
    void whatIsNoTokenizerIsRefusedWithAWayOut() throws IOException {
        assertThatThrownBy(() -> Tokenizers.load(dir)).isInstanceOf(FormatException.class)
                .hasMessageContaining("has no tokenizer");
        Files.writeString(dir.resolve("tokenizer.model"), "x");
        assertThatThrownBy(() -> Tokenizers.load(dir)).isInstanceOf(FormatException.class)
                .hasMessageContaining("save_pretrained");
        for (String bad : List.of("", "[]", "{", "{}", "{\"model\":{\"vocab\":{\"a\":0}}}",
                "{\"model\":{\"type\":\"Nope\",\"vocab\":{\"a\":0}}}")) {
            Files.writeString(dir.resolve("tokenizer.json"), bad);
            assertThatThrownBy(() -> Tokenizers.load(dir)).as(bad).isInstanceOf(FormatException.class)
                    .hasMessageContaining("tokenizer.json").message().doesNotContain("\n");
        }
        for (String bad : List.of("{}", "{\"type\":\"byte\",\"version\":2}",
                "{\"type\":\"byte\",\"version\":1,\"special_tokens\":[\"x\"]}",
                "{\"type\":\"byte\",\"version\":1,\"special_tokens\":[\"<|bos|>\",\"<|eos|>\",\"<|pad|>\",\"\"]}")) {
            Files.writeString(dir.resolve("gyre_tokenizer.json"), bad);
            assertThatThrownBy(() -> Tokenizers.load(dir)).as(bad).isInstanceOf(FormatException.class)
                    .hasMessageContaining("gyre_tokenizer.json");
        }
    }
}
