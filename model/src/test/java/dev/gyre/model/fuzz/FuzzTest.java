package dev.gyre.model.fuzz;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.PeftConfig;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.GgufDir;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.gguf.GgufFile;
import dev.gyre.model.gguf.GgufLayout;
import dev.gyre.model.gguf.GgufType;
import dev.gyre.model.gguf.GgufWriter;
import dev.gyre.model.onnx.OnnxBert;
import dev.gyre.model.onnx.OnnxBertTest;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.HfTokenizer;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import dev.gyre.model.transformer.Transformer;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// The readers of models, adapters, tokenizers and templates, see [Fuzz].
class FuzzTest {
    private static final List<String> TEXTS = List.of("", "a", "Hello, world!  The 3 quick\n\n\tfoxes.", "a".repeat(60),
            "   ", "é漢字🙂👩‍👧", "<s></s><unk>", "\uFDFA ﬀ \u0000");
    private static final Mutations PLAIN = Mutations.with();

    @TempDir
    Path dir;

    private static ObjectNode parsed(byte[] b) {
        return Json.parseObject(Path.of("seed"), "", b, 0, b.length);
    }

    private static Fuzz.Source json(Mutations changes, List<byte[]> documents) {
        List<ObjectNode> all = documents.stream().map(FuzzTest::parsed).toList();
        return random -> Mutations.bytes(changes.of(all.get(random.nextInt(all.size())), random), random);
    }

    private static byte[] resource(String name) {
        try (InputStream in = Objects.requireNonNull(FuzzTest.class.getResourceAsStream(name))) {
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static byte[] golden(String name) throws IOException {
        return Files.readAllBytes(Golden.path(name));
    }

    private static void use(Tokenizer t) {
        for (String s : TEXTS) {
            int[] ids = t.encodeWithOffsets(s, true).ids();
            t.decode(ids);
            t.decodeWithSpecial(ids);
        }
    }

    @Test
    void tokenizers() throws IOException {
        Path file = dir.resolve("tokenizer.json");
        Fuzz.run("tokenizer.json", 1000, json(PLAIN, List.of(resource("unigram.json"), resource("bpe.json"),
                resource("bytes.json"), resource("wordpiece.json"))), input -> {
                    Files.write(file, input);
                    try (HfTokenizer t = HfTokenizer.open(file)) {
                        use(t);
                    }
                });
    }

    /// Files beside tokenizer.json, several of which say the same in other words.
    @Test
    void companionsOfTokenizers() throws IOException {
        Files.write(dir.resolve("tokenizer.json"), resource("wordpiece.json"));
        Mutations changes = Mutations.with("[UNK]", "[CLS]", "a", "content", "eos_token", "{{ messages }}", "default",
                "chat_template", "extra_special_tokens");
        ObjectNode all = parsed("""
                {"tokenizer_config.json": {"eos_token": "[SEP]", "bos_token": {"content": "[CLS]", "lstrip": false},
                "added_tokens_decoder": {"0": {"content": "[UNK]", "special": true, "lstrip": false, "rstrip": false,
                "normalized": false, "single_word": false}}, "additional_special_tokens": ["[UNK]"],
                "model_max_length": 512, "tokenizer_class": "BertTokenizer", "add_bos_token": true,
                "add_eos_token": false, "extra_special_tokens": {"x_token": "[CLS]"},
                "chat_template": [{"name": "default", "template": "{{ messages[0].content }}{{ bos_token }}"},
                {"name": "tool_use", "template": "{{ tools }}"}]},
                "special_tokens_map.json": {"eos_token": {"content": "[SEP]"}, "pad_token": "[PAD]"},
                "added_tokens.json": {"[CLS]": 1},
                "chat_template.json": {"chat_template": "{{ messages[0].role }}"}}
                """.getBytes(StandardCharsets.UTF_8));
        Fuzz.run("tokenizer_config.json, ...", 300, random -> Mutations.bytes(changes.of(all, random), random),
                input -> {
                    for (var e : parsed(input).properties())
                        if (e.getKey().matches("[a-z_]+\\.json"))
                            Files.write(dir.resolve(e.getKey()), Json.MAPPER.writeValueAsBytes(e.getValue()));
                    ChatTemplate template = ChatTemplate.load(dir);
                    try (Tokenizer t = Tokenizers.load(dir)) {
                        use(t);
                    }
                    if (template != null)
                        template.render(List.of(new ChatTemplate.Message("user", "hi")), true);
                });
    }

    /// Bytes of an ONNX graph changed, moved and cut.
    @Test
    void onnx() throws IOException {
        Path file = dir.resolve("model.onnx");
        List<byte[]> seeds = List.of(OnnxBertTest.graph("ts14-eager"), OnnxBertTest.graph("dyn18-sdpa"));
        Fuzz.run("model.onnx", 300, random -> damaged(seeds.get(random.nextInt(seeds.size())), random), input -> {
            Files.write(file, input);
            OnnxBert bert = OnnxBert.read(file);
            for (String t : bert.tensors())
                assertThat(bert.values(t)).hasSize(Arrays.stream(bert.shape(t)).reduce(1, (a, b) -> a * b));
        });
    }

    private static byte[] damaged(byte[] seed, SplittableRandom random) {
        byte[] b = seed.clone();
        for (int n = random.nextInt(4); n > 0; n--) {
            int at = random.nextInt(b.length);
            switch (random.nextInt(5)) {
                case 0 -> b[at] = (byte) random.nextInt();
                case 1 -> b[at] ^= (byte) (1 << random.nextInt(8));
                case 2 -> Arrays.fill(b, at, Math.min(b.length, at + 1 + random.nextInt(12)), (byte) 0xff);
                case 3 -> {
                    int from = random.nextInt(b.length);
                    int length = Math.min(random.nextInt(200), b.length - Math.max(at, from));
                    System.arraycopy(seed, from, b, at, length);
                }
                default -> b = random.nextInt(3) == 0 ? Arrays.copyOf(b, at) : b;
            }
            if (b.length == 0)
                break;
        }
        return b;
    }

    @Test
    void configurations() throws IOException {
        Path file = dir.resolve("config.json");
        Mutations changes = Mutations.with("rope_parameters", "rope_scaling", "yarn", "llama3", "dynamic", "linear",
                "qwen3", "olmo2", "mistral", "sliding_window", "layer_types", "full_attention", "head_dim");
        Fuzz.run("config.json", 700, json(changes, List.of(golden("tiny-llama/config.json"),
                golden("tiny-llama-nf4/config.json"), golden("families/llama-yarn-tied/config.json"),
                golden("families/llama-bias-llama3/config.json"), golden("families/qwen2-mixed-window/config.json"),
                golden("families/qwen3/config.json"), golden("families2/olmo2/config.json"))), input -> {
                    Files.write(file, input);
                    HfConfig.read(file).tensorShapes();
                });
    }

    @Test
    void adapterConfigurations() throws IOException {
        Path file = dir.resolve("adapter_config.json");
        Fuzz.run("adapter_config.json", 500,
                json(PLAIN, List.of(resource("adapter_config.json"), resource("lora_config.json"))), input -> {
                    Files.write(file, input);
                    PeftConfig c = PeftConfig.read(file);
                    c.options().targets().matches("model.layers.0.self_attn.q_proj");
                    c.toJson();
                });
    }

    /// Bytes that are changed anywhere, most of them in lengths, counts, types and places.
    @Test
    void ggufFiles() throws IOException {
        Path source = dir.resolve("model.gguf");
        tinyGguf(source);
        List<byte[]> whole = List.of(Files.readAllBytes(source), golden("gguf/types.gguf"));
        Path file = dir.resolve("fuzz.gguf");
        long[] hard = {0, 1, -1, 255, 65536, 1L << 31, (1L << 31) - 1, 1L << 60, Long.MAX_VALUE, Long.MIN_VALUE};
        Fuzz.run("GGUF", 700, random -> {
            byte[] b = whole.get(random.nextInt(whole.size())).clone();
            ByteBuffer view = ByteBuffer.wrap(b).order(ByteOrder.LITTLE_ENDIAN);
            for (int n = random.nextInt(4); n > 0; n--) {
                int at = random.nextInt(Math.min(b.length, 6000) - 8);
                switch (random.nextInt(4)) {
                    case 0 -> view.putLong(at, hard[random.nextInt(hard.length)]);
                    case 1 -> view.putInt(at, (int) hard[random.nextInt(hard.length)]);
                    case 2 -> b[at] = (byte) random.nextInt();
                    default -> b[at] += (byte) (random.nextBoolean() ? 1 : -1);
                }
            }
            return random.nextInt(8) == 0 ? Arrays.copyOf(b, random.nextInt(b.length)) : b;
        }, input -> {
            Files.write(file, input);
            Path made;
            try (GgufFile f = GgufFile.open(file)) {
                f.tensors().values().stream().limit(3).forEach(t -> {
                    if (t.rows() * (long) t.columns() < 1 << 20)
                        f.read(t, new float[t.rows() * t.columns()], r -> r);
                });
                if (f.text("general.architecture", "").equals("test"))
                    return;
            }
            made = GgufDir.of(file, dir.resolve("made"));
            try (ModelDir m = ModelDir.open(made)) {
                m.tensors().keySet().forEach(n -> m.weight(n));
            }
            if (Files.exists(made.resolve("tokenizer.json")))
                try (Tokenizer t = Tokenizers.load(made)) {
                    use(t);
                }
        });
    }

    /// A Llama of one layer with a small vocabulary of pieces.
    private static void tinyGguf(Path file) {
        List<String> tokens = new ArrayList<>(List.of("<unk>", "<s>", "</s>"));
        for (int i = 0; i < 256; i++)
            tokens.add(String.format(java.util.Locale.ROOT, "<0x%02X>", i));
        tokens.addAll(List.of("\u2581", "a", "b", "ab", "\u2581ab"));
        int V = tokens.size();
        int[] types = new int[V];
        float[] scores = new float[V];
        for (int i = 0; i < V; i++) {
            types[i] = i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1;
            scores[i] = -i;
        }
        ModelConfig c = ModelConfig.llama(V, 8, 8, 1, 2, 1, 16, true, 1, List.of(2), null);
        GgufLayout layout = GgufLayout.of(c);
        GgufWriter w = new GgufWriter().text("general.architecture", layout.architecture());
        layout.describe(w);
        w.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", tokens)
                .f32s("tokenizer.ggml.scores", scores).i32s("tokenizer.ggml.token_type", types);
        c.tensorShapes().forEach((name, shape) -> {
            long[] dims = shape.stream().mapToLong(Long::longValue).toArray();
            w.tensor(layout.name(name), GgufType.F32,
                    () -> new float[(int) Arrays.stream(dims).reduce(1, (a, b) -> a * b)],
                    dims);
        });
        w.write(file);
    }

    /// Configuration and weights together, on a model.
    @Test
    void adapters() throws IOException {
        Path config = dir.resolve("adapter_config.json");
        Path weights = dir.resolve("adapter_model.safetensors");
        Transformer model;
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama"))) {
            model = Transformer.load(m);
        }
        List<String> names = List.of("adapter_oft", "adapter_dora", "adapter_adalora", "adapter_adalora_pruned");
        List<byte[]> configs = new ArrayList<>();
        List<byte[]> tensors = new ArrayList<>();
        for (String n : names) {
            configs.add(golden("tiny-llama/" + n + "/adapter_config.json"));
            tensors.add(golden("tiny-llama/" + n + "/adapter_model.safetensors"));
        }
        for (String n : List.of("bias-all", "mts-all", "lora-bias", "pissa", "tokens", "copies")) {
            configs.add(golden("peft-variants/" + n + "/adapter_config.json"));
            tensors.add(golden("peft-variants/" + n + "/adapter_model.safetensors"));
        }
        Mutations changes = Mutations.with("q_proj", "v_proj", "embed_tokens", "lm_head", "all-linear", ".*proj", "OFT",
                "LORA", "HRA", "BOFT", "PSOFT", "ADALORA", "pissa", "olora", "loftq", "modules_to_save", "use_dora",
                "rank_pattern", "alpha_pattern", "layers_to_transform", "trainable_token_indices", "all", "none",
                "lora_only");
        Fuzz.run("adapter_model.safetensors", 150, random -> {
            int which = random.nextInt(configs.size());
            byte[] c = Mutations.bytes(random.nextInt(3) == 0 ? parsed(configs.get(which))
                    : changes.of(parsed(configs.get(which)), random), random);
            byte[] t = random.nextInt(3) == 0 ? tensors.get(which)
                    : safetensors(PLAIN, tensors.get(which), random);
            return ByteBuffer.allocate(4 + c.length + t.length).putInt(c.length).put(c).put(t).array();
        }, input -> {
            int n = ByteBuffer.wrap(input).getInt();
            try (var out = Files.newOutputStream(config)) {
                out.write(input, 4, n);
            }
            try (var out = Files.newOutputStream(weights)) {
                out.write(input, 4 + n, input.length - 4 - n);
            }
            Adapter a = Adapter.read(dir, model);
            assertThat(a.parameters()).isNotNegative();
        });
    }

    @Test
    void weights() throws IOException {
        Files.copy(Golden.path("tiny-llama/config.json"), dir.resolve("config.json"));
        Path file = dir.resolve("model.safetensors");
        byte[] whole = golden("tiny-llama/model.safetensors");
        Fuzz.run("model.safetensors", 200, random -> safetensors(PLAIN, whole, random), input -> {
            Files.write(file, input);
            try (SafeTensors s = SafeTensors.open(file)) {
                s.tensors().keySet().stream().limit(3).forEach(s::bytes);
            }
            ModelDir.open(dir).close();
        });
    }

    @Test
    void indexes() throws IOException {
        Files.copy(Golden.path("tiny-llama/config.json"), dir.resolve("config.json"));
        Path shard = Files.copy(Golden.path("tiny-llama/model.safetensors"), dir.resolve("model-1.safetensors"));
        ObjectNode index = parsed("{\"metadata\": {\"total_size\": 1000}, \"weight_map\": {}}"
                .getBytes(StandardCharsets.UTF_8));
        ObjectNode map = (ObjectNode) index.path("weight_map");
        try (SafeTensors s = SafeTensors.open(shard)) {
            s.tensors().keySet().forEach(n -> map.put(n, "model-1.safetensors"));
        }
        Path file = dir.resolve("model.safetensors.index.json");
        Mutations changes =
                Mutations.with("model-1.safetensors", "../model-1.safetensors", "/dev/zero", ".", "config.json",
                        "weight_map", "model.safetensors.index.json");
        Fuzz.run("model.safetensors.index.json", 200, random -> Mutations.bytes(changes.of(index, random), random),
                input -> {
                    Files.write(file, input);
                    try (ModelDir m = ModelDir.open(dir)) {
                        m.weight("model.norm.weight");
                    }
                });
    }

    /// Changes the header and keeps the data.
    private static byte[] safetensors(Mutations changes, byte[] file, SplittableRandom random) {
        ByteBuffer b = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        int length = (int) b.getLong(0);
        ObjectNode header = Json.parseObject(Path.of("model.safetensors"), "", file, 8, length);
        byte[] changed = Mutations.bytes(changes.of(header, random), random);
        int data = file.length - 8 - length;
        if (random.nextInt(8) == 0)
            data = random.nextInt(data);
        ByteBuffer out = ByteBuffer.allocate(8 + changed.length + data).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(random.nextInt(20) == 0 ? random.nextLong() : changed.length).put(changed).put(file, 8 + length,
                data);
        return out.array();
    }

    @Test
    void templates() throws IOException {
        ObjectNode cases = parsed(resource("/chat/cases.json"));
        List<String> all = new ArrayList<>();
        for (JsonNode t : cases.path("templates"))
            all.add(t.stringValue());
        for (JsonNode t : parsed(resource("/chat/jinja-expressions.json")).path("cases"))
            all.add(t.path("template").stringValue());
        for (int i = 0; i < 200; i++) // eight templates among 1,684 expressions
            all.add(cases.path("templates").valueStream().toList().get(i % 8).stringValue());
        Templates templates = new Templates(all);
        List<ChatTemplate.Message> talk = List.of(new ChatTemplate.Message("system", "Be kind."),
                new ChatTemplate.Message("user", " é🙂 hi\n"), new ChatTemplate.Message("assistant", "Hello  there"),
                new ChatTemplate.Message("user", ""), new ChatTemplate.Message("assistant", "x"));
        Map<String, Object> variables = Map.of("bos_token", "<s>", "eos_token", "</s>", "s", "Hello World", "l",
                List.of(3, 1, 2));
        LocalDateTime date = LocalDateTime.of(2026, 1, 2, 3, 4, 5);
        Fuzz.run("chat_template.jinja", 3000, random -> templates.make(random).getBytes(StandardCharsets.UTF_8),
                input -> {
                    ChatTemplate t = ChatTemplate.of(dir.resolve("chat_template.jinja"),
                            new String(input, StandardCharsets.UTF_8), variables, date);
                    ChatTemplate.Rendered r = t.render(talk, Map.of());
                    assertThat(r.text()).isEqualTo(t.render(talk, false));
                    for (ChatTemplate.Span s : r.answers())
                        assertThat(0 <= s.from() && s.from() <= s.to() && s.to() <= r.text().length()).isTrue();
                    t.render(talk.subList(0, 2), true);
                });
    }
}
