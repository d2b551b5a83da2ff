package dev.gyre.model.gguf;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// The `config.json` that a GGUF file's metadata and tensors amount to.
final class GgufConfig {
    private static final Map<String, String> TYPES = Map.of("llama", "llama", "granite", "granite", "smollm3",
            "smollm3",
            "qwen2", "qwen2", "qwen3", "qwen3", "gemma2", "gemma2", "gemma3", "gemma3_text", "phi3", "phi3", "olmo2",
            "olmo2");
    private static final Map<String, String> CLASSES = Map.of("llama", "LlamaForCausalLM", "granite",
            "GraniteForCausalLM", "smollm3", "SmolLM3ForCausalLM", "qwen2", "Qwen2ForCausalLM", "qwen3",
            "Qwen3ForCausalLM", "gemma2", "Gemma2ForCausalLM", "gemma3", "Gemma3ForCausalLM", "phi3",
            "Phi3ForCausalLM", "olmo2", "Olmo2ForCausalLM");
    private static final double LLAMA3_LOW = 1;
    private static final double LLAMA3_HIGH = 4;
    private static final int LLAMA3_LENGTH = 8192;

    private final GgufFile f;
    private final String arch;
    private final ObjectNode o = Json.MAPPER.createObjectNode();
    private int layers;
    private int heads;
    private int width;
    private int headDim;

    private GgufConfig(GgufFile f) {
        this.f = f;
        this.arch = f.text("general.architecture");
    }

    /// @throws FormatException for an architecture, or a feature of one, that Gyre does not have
    static ObjectNode of(GgufFile f) {
        return new GgufConfig(f).read();
    }

    private FormatException refused(String what) {
        return new FormatException(f.file(), what + ", which Gyre does not read; look for the model's directory with"
                + " safetensors");
    }

    private String key(String name) {
        return arch + "." + name;
    }

    private boolean has(String tensor) {
        return f.tensors().containsKey(tensor);
    }

    private ObjectNode read() {
        if (f.has("split.count") && f.integer("split.count") > 1)
            throw refused("is one of " + f.integer("split.count") + " files of a model");
        if (!f.text("general.type", "model").equals("model"))
            throw refused("holds a " + f.text("general.type") + ", not a model");
        String type = TYPES.get(arch);
        if (type == null)
            throw refused("holds a model of the architecture '" + arch + "'");
        if (f.integer(key("expert_count"), 0) > 0)
            throw refused("holds a mixture of experts");
        GgufTensor embedding = f.tensors().get("token_embd.weight");
        if (embedding == null || embedding.dims().size() != 2)
            throw new FormatException(f.file(), "has no matrix token_embd.weight; get the file again");
        layers = f.size(key("block_count"));
        if (layers < 1 || layers > 10_000)
            throw new FormatException(f.file(),
                    "metadata '" + key("block_count") + "': " + layers + " is not 1 to 10000");
        width = f.size(key("embedding_length"));
        heads = same("attention.head_count", 0);
        if (heads < 1)
            throw new FormatException(f.file(), "metadata '" + key("attention.head_count") + "': is not positive");
        headDim = f.has(key("attention.key_length")) ? f.size(key("attention.key_length")) : width / heads;
        if (f.has(key("attention.value_length")) && f.size(key("attention.value_length")) != headDim)
            throw refused("has keys and values of different width");
        o.putArray("architectures").add(CLASSES.get(arch));
        o.put("model_type", type).put("hidden_size", width).put("num_hidden_layers", layers)
                .put("num_attention_heads", heads).put("num_key_value_heads", same("attention.head_count_kv", heads))
                .put("head_dim", headDim).put("intermediate_size", same("feed_forward_length", 0))
                .put("vocab_size", embedding.dims().get(1))
                .put("max_position_embeddings", f.size(key("context_length")))
                .put("rms_norm_eps", f.number(key("attention.layer_norm_rms_epsilon")))
                .put("tie_word_embeddings", isTied(embedding)).put("torch_dtype", dtype(embedding))
                .put("attention_dropout", 0.0).put("use_cache", true);
        token("bos_token_id", "bos_token_id", "eos_token_id", "padding_token_id");
        if (!arch.startsWith("gemma"))
            o.put("hidden_act", "silu");
        rotary();
        features();
        return o;
    }

    private static String dtype(GgufTensor t) {
        return switch (t.type()) {
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            default -> "float32";
        };
    }

    /// A number that is the same in all layers.
    private int same(String name, int absent) {
        if (absent > 0 && !f.has(key(name)))
            return absent;
        double[] all = f.perLayer(key(name), layers);
        for (double x : all)
            if (x != all[0] || x != Math.rint(x) || x < 0 || x > Integer.MAX_VALUE)
                throw refused("has a " + name + " that differs between layers");
        return (int) all[0];
    }

    private void token(String ours, String bos, String eos, String pad) {
        long vocabulary = o.path("vocab_size").longValue();
        put(ours, id(bos, vocabulary));
        Long end = id(eos, vocabulary);
        Long turn = id("eot_token_id", vocabulary);
        if (end == null || turn == null || end.equals(turn))
            put("eos_token_id", end == null ? turn : end);
        else
            o.putArray("eos_token_id").add(end).add(turn);
        put("pad_token_id", id(pad, vocabulary));
    }

    private void put(String key, @Nullable Long id) {
        if (id == null)
            o.putNull(key);
        else
            o.put(key, id);
    }

    private @Nullable Long id(String name, long vocabulary) {
        String key = "tokenizer.ggml." + name;
        if (!f.has(key))
            return null;
        long id = f.integer(key);
        if (id < 0 || id >= vocabulary)
            throw new FormatException(f.file(), "metadata '" + key + "': " + id + " is none of the " + vocabulary
                    + " tokens; get the file again");
        return id;
    }

    /// A head that is the embedding once more is a tied one.
    private boolean isTied(GgufTensor embedding) {
        GgufTensor head = f.tensors().get("output.weight");
        return head == null || head.type() == embedding.type() && head.dims().equals(embedding.dims())
                && f.same(head, embedding);
    }

    private void features() {
        switch (arch) {
            case "llama", "granite" -> {
                boolean qkv = has("blk.0.attn_q.bias");
                if (qkv != has("blk.0.attn_output.bias"))
                    throw refused("has biases on some attention projections only");
                o.put("attention_bias", qkv).put("mlp_bias", has("blk.0.ffn_gate.bias"));
                if (arch.equals("granite"))
                    o.put("attention_multiplier", f.number(key("attention.scale")))
                            .put("embedding_multiplier", f.number(key("embedding_scale")))
                            .put("residual_multiplier", f.number(key("residual_scale")))
                            .put("logits_scaling", f.number(key("logit_scale")));
            }
            case "qwen2", "qwen3" -> {
                o.put("use_sliding_window", false);
                if (arch.equals("qwen3"))
                    o.put("attention_bias", false);
            }
            case "olmo2" -> o.put("attention_bias", false);
            case "smollm3" ->
                    o.put("no_rope_layer_interval", GgufLayout.SMOLLM3_PATTERN).put("use_sliding_window", false)
                            .put("attention_bias", false).put("mlp_bias", false);
            case "phi3" -> {
                int window = f.has(key("attention.sliding_window")) ? f.size(key("attention.sliding_window")) : 0;
                if (window == 0)
                    o.putNull("sliding_window");
                else
                    o.put("sliding_window", window);
            }
            case "gemma2", "gemma3" -> gemma();
            default -> throw new AssertionError(arch);
        }
        if (arch.equals("qwen2") != has("blk.0.attn_q.bias") && !Set.of("llama", "granite").contains(arch))
            throw refused("has other biases than its architecture");
    }

    private void gemma() {
        boolean second = arch.equals("gemma2");
        o.put("hidden_activation", "gelu_pytorch_tanh").put("attention_bias", false);
        boolean largest = layers == (second ? 46 : 62);
        o.put("query_pre_attn_scalar", largest ? width / heads : headDim);
        o.put("sliding_window", f.size(key("attention.sliding_window")));
        ArrayNode types = o.putArray("layer_types");
        for (int i = 0; i < layers; i++)
            types.add((second ? i % 2 != 0 : (i + 1) % GgufLayout.GEMMA3_PATTERN == 0) ? "full_attention"
                    : "sliding_attention");
        if (second) {
            o.put("attn_logit_softcapping", f.number(key("attn_logit_softcapping"), 50));
            o.put("final_logit_softcapping", f.number(key("final_logit_softcapping"), 30));
        } else {
            o.put("rope_local_base_freq", f.number(key("rope.freq_base_swa"), 1e4));
            if (f.number(key("final_logit_softcapping"), 0) > 0)
                o.put("final_logit_softcapping", f.number(key("final_logit_softcapping")));
        }
    }

    private void rotary() {
        double theta = f.number(key("rope.freq_base"), 1e4);
        o.put("rope_theta", theta);
        int dims = f.has(key("rope.dimension_count")) ? f.size(key("rope.dimension_count")) : headDim;
        if (dims != headDim) {
            if (!arch.equals("phi3") || headDim == 0)
                throw refused("rotates a part of each head");
            o.put("partial_rotary_factor", (double) dims / headDim);
        }
        if (f.has(key("rope.scale_linear")) && f.number(key("rope.scale_linear")) != 1)
            throw refused("has the old key rope.scale_linear");
        if (has("rope_factors_long.weight")) {
            longRope();
            return;
        }
        if (has("rope_freqs.weight")) {
            factors(theta);
            return;
        }
        String type = f.text(key("rope.scaling.type"), "none");
        switch (type) {
            case "none" -> o.putNull("rope_scaling");
            case "linear" -> o.putObject("rope_scaling").put("rope_type", "linear").put("factor",
                    f.number(key("rope.scaling.factor")));
            case "yarn" -> {
                for (String more : List.of("attn_factor", "yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor",
                        "yarn_beta_fast", "yarn_beta_slow"))
                    if (f.has(key("rope.scaling." + more)))
                        throw refused("has YaRN with " + more);
                o.putObject("rope_scaling").put("rope_type", "yarn").put("factor", f.number(key("rope.scaling.factor")))
                        .put("original_max_position_embeddings",
                                f.size(key("rope.scaling.original_context_length")));
            }
            default -> throw refused("has the rope scaling '" + type + "'");
        }
    }

    private float[] values(String tensor) {
        GgufTensor t = f.tensors().get(tensor);
        if (t == null || t.dims().size() != 1 || t.columns() > 1 << 16)
            throw new FormatException(f.file(),
                    "tensor '" + tensor + "' is missing or no short list; get the file again");
        float[] all = new float[t.columns()];
        f.read(t, all, r -> r);
        return all;
    }

    private static void put(ObjectNode o, String key, float[] values) {
        ArrayNode list = o.putArray(key);
        for (float v : values)
            list.add(Double.parseDouble(Float.toString(v)));
    }

    private void longRope() {
        if (!arch.equals("phi3"))
            throw refused("has LongRoPE");
        int original = f.size(key("rope.scaling.original_context_length"));
        o.put("original_max_position_embeddings", original);
        ObjectNode scaling = o.putObject("rope_scaling").put("rope_type", "longrope").put("attention_factor",
                f.number(key("rope.scaling.attn_factor"), 1));
        put(scaling, "short_factor", values("rope_factors_short.weight"));
        put(scaling, "long_factor", values("rope_factors_long.weight"));
    }

    /// A divisor of each frequency: Llama 3's, if one of its rules gives them; else they are kept as they are.
    private void factors(double theta) {
        float[] given = values("rope_freqs.weight");
        for (double factor : new double[] {8, 32, 4, 16, 2, 64}) {
            double worst = 0;
            for (int j = 0; j < given.length; j++)
                worst = Math.max(worst, Math.abs(given[j] / llama3(theta, j, given.length, factor) - 1));
            if (worst < 1e-4) {
                o.putObject("rope_scaling").put("rope_type", "llama3").put("factor", factor)
                        .put("low_freq_factor", LLAMA3_LOW).put("high_freq_factor", LLAMA3_HIGH)
                        .put("original_max_position_embeddings", LLAMA3_LENGTH);
                return;
            }
        }
        ObjectNode scaling = o.putObject("rope_scaling").put("rope_type", "longrope").put("attention_factor", 1.0)
                .put("original_max_position_embeddings", f.size(key("context_length")));
        put(scaling, "short_factor", given);
        put(scaling, "long_factor", given);
    }

    private static double llama3(double theta, int j, int pairs, double factor) {
        double wave = 2 * Math.PI * Math.pow(theta, (double) j / pairs);
        double turns = LLAMA3_LENGTH / wave;
        if (turns > LLAMA3_HIGH)
            return 1;
        if (turns < LLAMA3_LOW)
            return factor;
        double kept = (turns - LLAMA3_LOW) / (LLAMA3_HIGH - LLAMA3_LOW);
        return 1 / ((1 - kept) / factor + kept);
    }
}
