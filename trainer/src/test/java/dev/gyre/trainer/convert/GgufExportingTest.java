package dev.gyre.trainer.convert;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.family.RopeTable;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.GgufDir;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.gguf.GgufFile;
import dev.gyre.model.gguf.GgufLayout;
import dev.gyre.model.gguf.GgufTensor;
import dev.gyre.model.gguf.GgufTokenizer;
import dev.gyre.model.gguf.GgufType;
import dev.gyre.model.gguf.GgufWriter;
import dev.gyre.model.token.ByteTokenizer;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.measure.ModelRef;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.node.ObjectNode;

/// Models written as GGUF files and read back. What llama.cpp itself computes with such files is in docs/export.md.
class GgufExportingTest {
    private static final Path GOLDEN = Path.of("../model/src/test/resources/golden");

    @TempDir
    Path dir;

    private GgufExporting.Written export(Path model, GgufType type, Path out, Path... adapters) {
        return GgufExporting.model(new ModelRef(model, List.of(adapters)), type, out, new CpuBackend(1), _ -> {
        }, _ -> {
        });
    }

    private Transformer read(Path gguf) {
        try (ModelDir m = ModelDir.open(GgufDir.of(gguf, dir.resolve("cache")))) {
            return Transformer.load(m);
        }
    }

    private static Transformer load(Path model) {
        try (ModelDir m = ModelDir.open(model)) {
            return Transformer.load(m);
        }
    }

    private static void same(Transformer a, Transformer b) {
        assertThat(b.weights().keySet()).isEqualTo(a.weights().keySet());
        for (String name : a.weights().keySet())
            assertThat(b.values(name)).as(name).containsExactly(a.values(name));
    }

    /// A copy of a golden model with another config.json.
    private Path changed(String model, Map<String, Object> keys) throws IOException {
        Path copy = Files.createDirectory(dir.resolve("changed"));
        ObjectNode json = Json.readObject(GOLDEN.resolve(model).resolve("config.json"));
        keys.forEach((k, v) -> json.set(k, Json.MAPPER.valueToTree(v)));
        Files.writeString(copy.resolve("config.json"), Json.pretty(json));
        Files.copy(GOLDEN.resolve(model).resolve("model.safetensors"), copy.resolve("model.safetensors"));
        return copy;
    }

    @ParameterizedTest
    @ValueSource(strings = {"stories260k", "tiny-llama", "families/llama-bias-llama3", "families/llama-yarn-tied",
        "families/qwen3", "families2/granite", "families2/olmo2", "families2/phi3"})
    void weightsAndFeaturesComeBack(String model) {
        Path out = dir.resolve("m.gguf");
        GgufExporting.Written w = export(GOLDEN.resolve(model), GgufType.F32, out);
        assertThat(w.notes()).singleElement().asString().contains("no tokenizer");
        Transformer before = load(GOLDEN.resolve(model));
        Transformer after = read(out);
        same(before, after);
        ModelConfig a = before.config();
        ModelConfig b = after.config();
        assertThat(b.attention()).isEqualTo(a.attention());
        assertThat(b.shape()).isEqualTo(a.shape());
        assertThat(b.mlp()).isEqualTo(a.mlp());
        assertThat(b.norms()).isEqualTo(a.norms());
        assertThat(b.multipliers()).isEqualTo(a.multipliers());
        assertThat(b.positions().windows()).isEqualTo(a.positions().windows());
        // factors of frequencies stay numbers where they are not those of a Llama that was published
        Rotary ours = a.positions().rotaries().getFirst();
        Rotary theirs = b.positions().rotaries().getFirst();
        float[] expected = RopeTable.inverseFrequencies(a, ours, a.maxPositionEmbeddings());
        float[] actual = RopeTable.inverseFrequencies(b, theirs, a.maxPositionEmbeddings());
        for (int i = 0; i < expected.length; i++)
            assertThat(actual[i]).isCloseTo(expected[i], within(expected[i] * 2e-7f));
        assertThat(RopeTable.attentionFactor(b, theirs)).isEqualTo(RopeTable.attentionFactor(a, ours));
    }

    /// Gemma's norms are stored as 1 + w, which rounds; its layers with a window are llama.cpp's.
    @Test
    void gemmaComesBack() throws IOException {
        Path model = changed("families2/gemma2", Map.of("query_pre_attn_scalar", 16));
        export(model, GgufType.F32, dir.resolve("m.gguf"));
        Transformer before = load(model);
        Transformer after = read(dir.resolve("m.gguf"));
        assertThat(after.config().positions()).isEqualTo(before.config().positions());
        assertThat(after.config().multipliers()).isEqualTo(before.config().multipliers());
        assertThat(after.config().attention()).isEqualTo(before.config().attention());
        for (String name : before.weights().keySet()) {
            float[] a = before.values(name);
            float[] b = after.values(name);
            for (int i = 0; i < a.length; i++)
                assertThat(b[i]).as(name).isCloseTo(a[i], within(name.endsWith("norm.weight") ? 3e-7f : 0f));
        }
    }

    @ParameterizedTest
    @CsvSource({"families/llama-dynamic, rope_type dynamic", "families2/gemma2, another query_pre_attn_scalar",
        "families2/smollm3, other no_rope_layers"})
    void whatLlamaCppHasNoFormForIsRefused(String model, String why) {
        Path out = dir.resolve("m.gguf");
        assertThatThrownBy(() -> export(GOLDEN.resolve(model), GgufType.F16, out)).isInstanceOf(InputException.class)
                .hasMessageContaining(why);
        assertThat(out).doesNotExist();
    }

    @Test
    void windowsThatLlamaCppDoesNotHaveLimitTheContext() {
        GgufExporting.Written w = export(GOLDEN.resolve("families/mistral-window"), GgufType.F32,
                dir.resolve("m.gguf"));
        assertThat(w.notes()).anyMatch(n -> n.contains("attention window"));
        int window = load(GOLDEN.resolve("families/mistral-window")).config().positions().largestWindow();
        assertThat(read(dir.resolve("m.gguf")).config().maxPositionEmbeddings()).isEqualTo(window);
    }

    @Test
    void typesOfTensors() {
        Path model = GOLDEN.resolve("tiny-llama");
        for (GgufType type : GgufType.WRITTEN) {
            Path out = dir.resolve(type + ".gguf");
            export(model, type, out);
            try (GgufFile f = GgufFile.open(out)) {
                assertThat(f.integer("general.file_type")).isEqualTo(type.fileType);
                for (GgufTensor t : f.tensors().values())
                    assertThat(t.type()).as(t.name()).isEqualTo(t.dims().size() == 1 ? GgufType.F32
                            : t.columns() % type.size != 0 ? GgufType.F16
                            : type == GgufType.Q4_0 && t.name().equals("output.weight") ? GgufType.Q8_0 : type);
            }
        }
        Transformer whole = load(model);
        Transformer eight = read(dir.resolve("Q8_0.gguf"));
        for (String name : whole.weights().keySet()) {
            float[] a = whole.values(name);
            float[] b = eight.values(name);
            double most = 0;
            for (float v : a)
                most = Math.max(most, Math.abs(v));
            // half a step of 1/127 of a block's largest value, and the rounding of its scale
            for (int i = 0; i < a.length; i++)
                assertThat((double) b[i]).as(name).isCloseTo(a[i], within(most / 127 * 0.51 + most * 1e-3));
        }
    }

    @Test
    void adaptersAreFoldedIn() {
        Path model = GOLDEN.resolve("tiny-llama");
        Path adapter = model.resolve("adapter_oft");
        export(model, GgufType.F32, dir.resolve("m.gguf"), adapter);
        Transformer adapted = load(model);
        adapted.attach(Adapter.read(adapter, adapted));
        Transformer after = read(dir.resolve("m.gguf"));
        List<String> changed = Merge.changed(adapted);
        assertThat(changed).isNotEmpty();
        for (String name : changed)
            assertThat(after.values(name)).as(name)
                    .containsExactly(Merge.weight(adapted, new CpuBackend(1), name));
    }

    /// B A of the file, in llama.cpp's order of rows, is the update of the merged weight.
    @Test
    void loraAdaptersHaveTheirOwnFile() {
        Path model = GOLDEN.resolve("tiny-llama");
        Transformer base = load(model);
        Adapter lora = Adapter.create(Lora.of(Targets.names("q_proj", "k_proj", "v_proj", "down_proj"), 4, 8), base, 5);
        lora.modules().forEach(m -> m.tensors().forEach(t -> {
            for (int i = 0; i < t.values().length; i++)
                t.values()[i] += 0.01f * ((i % 7) - 3);
        }));
        lora.write(dir.resolve("lora"), "x");
        Path out = dir.resolve("lora.gguf");
        GgufExporting.lora(new ModelRef(model, List.of(dir.resolve("lora"))), GgufType.F32, out, new CpuBackend(1),
                _ -> {
                });
        base.attach(lora);
        GgufLayout layout = GgufLayout.of(base.config());
        Transformer plain = load(model);
        try (GgufFile f = GgufFile.open(out)) {
            assertThat(f.text("general.type")).isEqualTo("adapter");
            assertThat(f.text("adapter.type")).isEqualTo("lora");
            assertThat(f.number("adapter.lora.alpha")).isEqualTo(4);
            List<String> changed = Merge.changed(base);
            assertThat(f.tensors()).hasSize(2 * changed.size());
            for (String name : changed) {
                float[] a = values(f, layout.name(name) + ".lora_a");
                float[] b = values(f, layout.name(name) + ".lora_b");
                int in = a.length / 4;
                int rows = b.length / 4;
                float[] merged = layout.stored(name, Merge.weight(base, new CpuBackend(1), name), rows);
                float[] before = layout.stored(name, plain.values(name), rows);
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < in; c++) {
                        double sum = before[r * in + c];
                        for (int k = 0; k < 4; k++)
                            sum += (double) b[r * 4 + k] * a[k * in + c];
                        assertThat((double) merged[r * in + c]).as(name).isCloseTo(sum, within(1e-5));
                    }
            }
        }
        Adapter oft = Adapter.read(model.resolve("adapter_oft"), plain);
        assertThat(oft.options()).isInstanceOf(Oft.class);
        assertThatThrownBy(() -> GgufExporting.lora(new ModelRef(model, List.of(model.resolve("adapter_oft"))),
                GgufType.F32, dir.resolve("oft.gguf"), new CpuBackend(1), _ -> {
                })).isInstanceOf(InputException.class).hasMessageContaining("no exact LoRA form");
    }

    private static float[] values(GgufFile f, String name) {
        GgufTensor t = f.tensors().get(name);
        float[] all = new float[t.rows() * t.columns()];
        f.read(t, all, r -> r);
        return all;
    }

    private static final List<String> TEXTS = List.of("", "Hello, world!  The 3 quick\n\n\tfoxes: 12345.", "é漢字🙂",
            "<|eos|>a<|bos|>", "   ", "I'll it's WE'RE");

    private void sameTokens(Path model, Path gguf) {
        try (Tokenizer a = Tokenizers.load(model);
                Tokenizer b = Tokenizers.load(GgufDir.of(gguf, dir.resolve("cache")))) {
            for (String s : TEXTS) {
                for (boolean special : new boolean[] {false, true})
                    assertThat(b.encode(s, special)).as(s).containsExactly(a.encode(s, special));
                assertThat(b.decode(a.encode(s, false))).as(s).isEqualTo(a.decode(a.encode(s, false)));
            }
            assertThat(b.bosId()).isEqualTo(a.bosId());
            assertThat(b.eosId()).isEqualTo(a.eosId());
            assertThat(b.padId()).isEqualTo(a.padId());
        }
    }

    /// stories260k with another vocabulary of 512.
    private Path withTokenizer(ObjectNode tokenizer, String config) throws IOException {
        Path model = Files.createDirectory(dir.resolve("model"));
        for (String name : List.of("config.json", "model.safetensors"))
            Files.copy(GOLDEN.resolve("stories260k").resolve(name), model.resolve(name));
        Files.writeString(model.resolve("tokenizer.json"), tokenizer.toString());
        Files.writeString(model.resolve("tokenizer_config.json"), config);
        return model;
    }

    @Test
    void byteTokenizersAndTemplatesComeBack() throws IOException {
        Path model = Files.createDirectory(dir.resolve("model"));
        for (String name : List.of("config.json", "model.safetensors"))
            Files.copy(GOLDEN.resolve("stories260k").resolve(name), model.resolve(name));
        String template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
        new ByteTokenizer(List.of(), template).save(model);
        export(model, GgufType.F16, dir.resolve("m.gguf"));
        sameTokens(model, dir.resolve("m.gguf"));
        Path made = GgufDir.of(dir.resolve("m.gguf"), dir.resolve("cache"));
        assertThat(Objects.requireNonNull(ChatTemplate.load(made)).source()).isEqualTo(template);
    }

    private static ObjectNode pieces(boolean spaceBefore) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.put("version", "1.0");
        var added = o.putArray("added_tokens");
        String[] special = {"<unk>", "<s>", "</s>"};
        ObjectNode vocab = Json.MAPPER.createObjectNode();
        for (int i = 0; i < 3; i++) {
            added.addObject().put("id", i).put("content", special[i]).put("special", true).put("normalized", false)
                    .put("lstrip", false).put("rstrip", false).put("single_word", false);
            vocab.put(special[i], i);
        }
        for (int i = 0; i < 256; i++)
            vocab.put(String.format(Locale.ROOT, "<0x%02X>", i), 3 + i);
        List<String[]> merges = new ArrayList<>();
        for (String[] m : new String[][] {{"l", "l"}, {"H", "e"}, {"o", "x"}, {"f", "ox"}, {"\u2581", "w"},
            {"He", "ll"}, {"\u2581", "The"}, {"T", "h"}, {"Th", "e"}, {"\u2581", "\u2581"}})
            merges.add(m);
        for (String c : "\u2581HeloxfwThqui,!.é".split(""))
            if (!vocab.has(c))
                vocab.put(c, vocab.size());
        for (String[] m : merges)
            if (!vocab.has(m[0] + m[1]))
                vocab.put(m[0] + m[1], vocab.size());
        ObjectNode normalizer = o.putObject("normalizer").put("type", "Sequence");
        var parts = normalizer.putArray("normalizers");
        if (spaceBefore)
            parts.addObject().put("type", "Prepend").put("prepend", "\u2581");
        ObjectNode replace = parts.addObject().put("type", "Replace").put("content", "\u2581");
        replace.putObject("pattern").put("String", " ");
        o.putNull("pre_tokenizer");
        ObjectNode post = o.putObject("post_processor").put("type", "TemplateProcessing");
        var single = post.putArray("single");
        single.addObject().putObject("SpecialToken").put("id", "<s>").put("type_id", 0);
        single.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        post.putArray("pair").addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        ObjectNode bos = post.putObject("special_tokens").putObject("<s>").put("id", "<s>");
        bos.putArray("ids").add(1);
        bos.putArray("tokens").add("<s>");
        var decoders = o.putObject("decoder").put("type", "Sequence").putArray("decoders");
        ObjectNode back = decoders.addObject().put("type", "Replace").put("content", " ");
        back.putObject("pattern").put("String", "\u2581");
        decoders.addObject().put("type", "ByteFallback");
        decoders.addObject().put("type", "Fuse");
        if (spaceBefore)
            decoders.addObject().put("type", "Strip").put("content", " ").put("start", 1).put("stop", 0);
        ObjectNode model = o.putObject("model").put("type", "BPE").putNull("dropout").put("unk_token", "<unk>")
                .putNull("continuing_subword_prefix").putNull("end_of_word_suffix").put("fuse_unk", true)
                .put("byte_fallback", true);
        model.set("vocab", vocab);
        var list = model.putArray("merges");
        merges.forEach(m -> list.add(m[0] + " " + m[1]));
        return o;
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void piecesWithScoresComeBack(boolean spaceBefore) throws IOException {
        Path model = withTokenizer(pieces(spaceBefore), "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}");
        export(model, GgufType.F16, dir.resolve("m.gguf"));
        sameTokens(model, dir.resolve("m.gguf"));
        try (GgufFile f = GgufFile.open(dir.resolve("m.gguf"))) {
            assertThat(f.text("tokenizer.ggml.model")).isEqualTo("llama");
            assertThat(f.flag("tokenizer.ggml.add_space_prefix", !spaceBefore)).isEqualTo(spaceBefore);
            assertThat(f.texts("tokenizer.ggml.tokens")).hasSize(512);
        }
    }

    @Test
    void otherTokenizersAreRefusedByName() throws IOException {
        ObjectNode odd = pieces(true);
        ((ObjectNode) odd.get("model")).put("type", "Unigram");
        Path model = withTokenizer(pieces(true), "{}");
        assertThatThrownBy(() -> GgufTokenizer.write(model.resolve("tokenizer.json"), odd,
                new GgufTokenizer.Special(-1, -1, -1, -1, false, false), 512, null,
                new GgufWriter())).isInstanceOf(InputException.class).hasMessageContaining("Unigram");
    }

    /// The directory that stands for a file is made once, and again when the file changes.
    @Test
    void filesThatChangeAreReadAgain() throws IOException {
        Path file = dir.resolve("m.gguf");
        export(GOLDEN.resolve("tiny-llama"), GgufType.F32, file);
        Path made = GgufDir.of(file, dir.resolve("cache"));
        Files.setLastModifiedTime(made.resolve("config.json"), FileTime.fromMillis(1000));
        assertThat(GgufDir.of(file, dir.resolve("cache"))).isEqualTo(made);
        assertThat(Files.getLastModifiedTime(made.resolve("config.json")).toMillis()).isEqualTo(1000);
        Files.delete(file);
        export(GOLDEN.resolve("stories260k"), GgufType.F32, file);
        assertThatThrownBy(() -> ModelDir.open(made).close()).hasMessageContaining("changed since");
        assertThat(read(file).config().vocabSize()).isEqualTo(512);
    }
}
