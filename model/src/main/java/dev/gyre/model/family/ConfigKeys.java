package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Attention;
import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.Mlp;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.Norms;
import dev.gyre.model.family.ModelConfig.Positions;
import dev.gyre.model.family.ModelConfig.QkNorm;
import dev.gyre.model.family.ModelConfig.Shape;
import dev.gyre.model.family.ModelConfig.StoredAs;
import dev.gyre.model.family.ModelConfig.Tokens;
import dev.gyre.model.files.Fields;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// Groups of `config.json` keys that several families share, checked and typed. What differs between families (defaults,
/// features) comes in as an argument.
public final class ConfigKeys {
    private final Fields f;

    ConfigKeys(Fields f) {
        this.f = f;
    }

    /// All keys, for those that only one family has.
    public Fields fields() {
        return f;
    }

    /// Whether a key is there and true.
    public boolean flag(String key) {
        return f.bool(key, false);
    }

    public Shape shape() {
        return new Shape(f.integer("vocab_size"), f.integer("hidden_size"), layers(),
                f.bool("tie_word_embeddings", false));
    }

    private int layers() {
        int layers = f.integer("num_hidden_layers");
        if (layers < 1 || layers > 10_000)
            throw f.bad("num_hidden_layers", "a number from 1 to 10000");
        return layers;
    }

    /// `num_attention_heads`.
    public int heads() {
        return f.integer("num_attention_heads");
    }

    /// `hidden_size / num_attention_heads`, what most families take for an absent `head_dim`.
    public int evenHeadDim() {
        int heads = heads();
        return heads > 0 ? f.integer("hidden_size") / heads : 0;
    }

    /// @param kvHeads for an absent `num_key_value_heads`; null means as many as query heads
    /// @param headDim for an absent `head_dim`
    public Attention attention(int kvHeads, int headDim, Bias bias, QkNorm qkNorm) {
        int kv = f.isSet("num_key_value_heads") ? f.integer("num_key_value_heads")
                : f.has("num_key_value_heads") ? heads() : kvHeads;
        return new Attention(heads(), kv, f.integer("head_dim", headDim), bias, qkNorm);
    }

    /// @param maxPositions for an absent `max_position_embeddings`
    /// @param windows attention window of each layer, 0 for full attention
    public Positions positions(int maxPositions, List<Integer> windows) {
        if (f.number("partial_rotary_factor", 1) != 1)
            throw f.bad("partial_rotary_factor", "1 or no such key");
        int max = f.integer("max_position_embeddings", maxPositions);
        Rope rope = rope(f, max);
        return new Positions(max, rope.theta(), rope.scaling(), windows);
    }

    public Mlp mlp(boolean bias) {
        if (!List.of("silu", "swish").contains(f.text("hidden_act", "silu")))
            throw f.bad("hidden_act", "\"silu\"");
        return new Mlp(f.integer("intermediate_size"), bias);
    }

    /// @param eps for an absent `rms_norm_eps`
    public Norms norms(NormPlacement placement, double eps) {
        return new Norms(placement, f.number("rms_norm_eps", eps));
    }

    public Tokens tokens() {
        Integer pad = f.integerOrNull("pad_token_id");
        return new Tokens(f.integerOrNull("bos_token_id"), f.integers("eos_token_id"),
                pad == null || pad < 0 ? null : pad);
    }

    public StoredAs stored() {
        return new StoredAs(f.textOrNull(f.isSet("dtype") ? "dtype" : "torch_dtype"), quantization(f));
    }

    /// Full attention in every layer.
    public List<Integer> fullAttention() {
        return Collections.nCopies(layers(), 0);
    }

    /// Attention windows by `layer_types`; without them `window` from layer `from` on.
    ///
    /// @param when the condition under which there are windows, for the error message
    public List<Integer> windows(int window, int from, String when) {
        int n = layers();
        List<String> types = f.isSet("layer_types") ? f.texts("layer_types") : null;
        if (types != null && types.size() != n)
            throw f.bad("layer_types", n + " entries, one per layer");
        List<Integer> all = new ArrayList<>();
        for (int i = 0; i < n; i++)
            all.add(types == null ? i >= from ? window : 0 : switch (types.get(i)) {
                case "full_attention" -> 0;
                case "sliding_attention" -> {
                    if (window == 0)
                        throw f.bad("layer_types", "no sliding_attention unless " + when);
                    yield window;
                }
                default -> throw f.bad("layer_types", "full_attention or sliding_attention in each entry");
            });
        return all;
    }

    /// `sliding_window`: null means none, 0.
    ///
    /// @param absent for an absent key
    public int window(int absent) {
        if (!f.has("sliding_window"))
            return absent;
        int window = f.integer("sliding_window", 0);
        if (window < 0 || window == 0 && f.isSet("sliding_window"))
            throw f.bad("sliding_window", "null or a positive number");
        return window;
    }

    /// Writes `layer_types` from the windows.
    static void putLayerTypes(ObjectNode o, ModelConfig c) {
        ArrayNode types = o.putArray("layer_types");
        c.positions().windows().forEach(w -> types.add(w == 0 ? "full_attention" : "sliding_attention"));
    }

    private record Rope(double theta, RopeScaling scaling) {
    }

    private static Rope rope(Fields top, int maxPositions) {
        // an empty object says as little as null
        Fields f = top.isSet("rope_scaling") && !top.object("rope_scaling").isEmpty() ? top.object("rope_scaling")
                : top.isSet("rope_parameters") ? top.object("rope_parameters") : null;
        if (f == null)
            return new Rope(top.number("rope_theta", 10000), new RopeScaling.Default());
        if (f.number("partial_rotary_factor", 1) != 1)
            throw f.bad("partial_rotary_factor", "1 or no such key");
        for (String layerType : List.of("full_attention", "sliding_attention"))
            if (f.has(layerType))
                throw f.bad(layerType, "the same rotary parameters for all layers");
        double theta = f.isSet("rope_theta") ? f.number("rope_theta") : top.number("rope_theta", 10000);
        String key = f.isSet("rope_type") || !f.isSet("type") ? "rope_type" : "type";
        // transformers lets the outer length win
        Fields length = top.isSet("original_max_position_embeddings") ? top : f;
        int original = length.integer("original_max_position_embeddings", maxPositions);
        // a negative or zero original length or factor would give NaN or negative frequencies
        if (original <= 0)
            throw length.bad("original_max_position_embeddings", "a positive number");
        RopeScaling scaling = switch (f.text(key, "default")) {
            case "default" -> new RopeScaling.Default();
            case "linear" -> new RopeScaling.Linear(factor(f));
            case "dynamic" -> new RopeScaling.Dynamic(factor(f));
            case "llama3" -> {
                double low = f.number("low_freq_factor");
                double high = f.number("high_freq_factor");
                if (!(low > 0))
                    throw f.bad("low_freq_factor", "a positive number");
                if (!(high > low))
                    throw f.bad("high_freq_factor", "a number above low_freq_factor");
                yield new RopeScaling.Llama3(factor(f), low, high, original);
            }
            case "yarn" -> new RopeScaling.Yarn(factor(f), original, turns(f, "beta_fast", 32),
                    turns(f, "beta_slow", 1), f.numberOrNull("attention_factor"), f.numberOrNull("mscale"),
                    f.numberOrNull("mscale_all_dim"),
                    // there, and null: Python takes that for false
                    f.bool("truncate", !f.has("truncate")));
            default -> throw f.bad(key, "one of default, linear, dynamic, llama3, yarn");
        };
        return new Rope(theta, scaling);
    }

    /// 0 means what null means: transformers reads them with `or`.
    private static double turns(Fields f, String key, double absent) {
        double n = f.number(key, absent);
        if (!(n >= 0))
            throw f.bad(key, "a positive number");
        return n == 0 ? absent : n;
    }

    private static double factor(Fields f) {
        double factor = f.number("factor");
        if (!(factor >= 1))
            throw f.bad("factor", "a number from 1");
        return factor;
    }

    private static @Nullable QuantizationConfig quantization(Fields top) {
        if (!top.isSet("quantization_config"))
            return null;
        Fields f = top.object("quantization_config");
        // files of early bitsandbytes releases have no quant_method
        if (!f.text("quant_method", "bitsandbytes").equals("bitsandbytes"))
            throw f.bad("quant_method", "\"bitsandbytes\"; for others use the model's unquantised directory");
        if (f.bool("load_in_8bit", false))
            throw f.bad("load_in_8bit", "false; only 4-bit NF4 weights are read");
        if (!f.bool("load_in_4bit", false))
            throw f.bad("load_in_4bit", "true; only 4-bit NF4 weights are read");
        if (!f.text("bnb_4bit_quant_type", "fp4").equals("nf4"))
            throw f.bad("bnb_4bit_quant_type", "\"nf4\"");
        return new QuantizationConfig(f.bool("bnb_4bit_use_double_quant", false),
                f.text("bnb_4bit_compute_dtype", "float32"), f.text("bnb_4bit_quant_storage", "uint8"),
                f.isSet("llm_int8_skip_modules") ? f.texts("llm_int8_skip_modules") : List.of());
    }
}
