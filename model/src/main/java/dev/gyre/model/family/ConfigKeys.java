package dev.gyre.model.family;

import dev.gyre.kernels.op.Activation;
import dev.gyre.model.family.ModelConfig.Attention;
import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.Mlp;
import dev.gyre.model.family.ModelConfig.Multipliers;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.Norms;
import dev.gyre.model.family.ModelConfig.Positions;
import dev.gyre.model.family.ModelConfig.QkNorm;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.family.ModelConfig.Shape;
import dev.gyre.model.family.ModelConfig.StoredAs;
import dev.gyre.model.family.ModelConfig.Tokens;
import dev.gyre.model.files.Fields;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// Groups of `config.json` keys that several families share, checked and typed. What differs between families (defaults,
/// features) comes in as an argument.
public final class ConfigKeys {
    private static final String ORIGINAL = "original_max_position_embeddings";

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
        return shape(false);
    }

    /// @param tied for an absent `tie_word_embeddings`
    public Shape shape(boolean tied) {
        return new Shape(f.integer("vocab_size"), f.integer("hidden_size"), layers(),
                f.bool("tie_word_embeddings", tied));
    }

    /// `num_hidden_layers`.
    public int layers() {
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

    /// The same rotary positions in all layers, of whole heads, with base 10000 unless the file says otherwise.
    ///
    /// @param maxPositions for an absent `max_position_embeddings`
    /// @param windows attention window of each layer, 0 for full attention
    public Positions positions(int maxPositions, List<Integer> windows) {
        return positions(maxPositions, 10000, windows);
    }

    /// @param theta for an absent `rope_theta`
    public Positions positions(int maxPositions, double theta, List<Integer> windows) {
        whole(f);
        int max = maxPositions(maxPositions);
        // transformers lets an original length outside the object win
        Integer original = f.integerOrNull(ORIGINAL);
        if (original != null && original <= 0)
            throw f.bad(ORIGINAL, "a positive number");
        return new Positions(max, rotary(ropeObject(), f.number("rope_theta", theta), original, max), windows);
    }

    /// `max_position_embeddings`.
    ///
    /// @param absent for an absent key
    public int maxPositions(int absent) {
        return f.integer("max_position_embeddings", absent);
    }

    /// The object with rotary parameters: `rope_scaling`, else `rope_parameters`, else null. An empty one says as little as
    /// null.
    @Nullable
    Fields ropeObject() {
        return f.isSet("rope_scaling") && !f.object("rope_scaling").isEmpty() ? f.object("rope_scaling")
                : f.isSet("rope_parameters") ? f.object("rope_parameters") : null;
    }

    /// @throws FormatException when a part of each head is rotated only, which the family does not know
    private static void whole(Fields f) {
        if (f.number("partial_rotary_factor", 1) != 1)
            throw f.bad("partial_rotary_factor", "1 or no such key");
    }

    public Mlp mlp(boolean bias) {
        return mlp(bias, "hidden_act", "silu");
    }

    /// @param key of the activation
    /// @param absent the activation without that key
    public Mlp mlp(boolean bias, String key, String absent) {
        Activation activation = switch (f.text(key, absent)) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu" -> Activation.GELU;
            case "gelu_pytorch_tanh", "gelu_new" -> Activation.GELU_TANH;
            default -> throw f.bad(key, "\"silu\", \"gelu\" or \"gelu_pytorch_tanh\"");
        };
        return new Mlp(f.integer("intermediate_size"), bias, activation, false);
    }

    /// The name of an activation in these files.
    static String name(Activation activation) {
        return switch (activation) {
            case SILU -> "silu";
            case GELU -> "gelu";
            case GELU_TANH -> "gelu_pytorch_tanh";
            case TANH, RELU -> throw new IllegalArgumentException("no MLP here has " + activation);
        };
    }

    /// A soft cap, 0 where the file says null.
    ///
    /// @param absent for an absent key
    public double softCap(String key, double absent) {
        double cap = f.has(key) ? f.number(key, 0) : absent;
        if (f.isSet(key) && !(cap > 0))
            throw f.bad(key, "null or a positive number");
        return cap;
    }

    /// The factors that Granite has, by its keys; absent ones are 1.
    public Multipliers multipliers() {
        return new Multipliers(f.number("embedding_multiplier", 1), f.number("residual_multiplier", 1),
                f.number("logits_scaling", 1), 0);
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

    /// Attention windows by `layer_types`; without them `window` in the layers that slide.
    ///
    /// @param slides whether a layer has the window where `layer_types` is absent
    /// @param when the condition under which there are windows, for the error message
    public List<Integer> windows(int window, IntPredicate slides, String when) {
        int n = layers();
        List<String> types = f.isSet("layer_types") ? f.texts("layer_types") : null;
        if (types != null && types.size() != n)
            throw f.bad("layer_types", n + " entries, one per layer");
        List<Integer> all = new ArrayList<>();
        for (int i = 0; i < n; i++)
            all.add(types == null ? slides.test(i) ? window : 0 : switch (types.get(i)) {
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

    /// Rotary positions of whole heads.
    ///
    /// @param f the object with rotary parameters, null for none
    /// @param theta base where the object has none
    /// @param originalOutside length of the first training where it is said outside the object, which wins; else null
    /// @param max `max_position_embeddings`, the original length where nothing says it
    static Rotary rotary(@Nullable Fields f, double theta, @Nullable Integer originalOutside, int max) {
        if (f == null)
            return new Rotary(theta, new RopeScaling.Default());
        whole(f);
        for (String layerType : List.of("full_attention", "sliding_attention"))
            if (f.has(layerType))
                throw f.bad(layerType, "the same rotary parameters for all layers");
        return new Rotary(f.number("rope_theta", theta), scaling(f, ropeType(f), originalOutside, max));
    }

    /// `rope_type`, or `type` in older files.
    static String ropeType(Fields f) {
        return f.text(ropeKey(f), "default");
    }

    private static String ropeKey(Fields f) {
        return f.isSet("rope_type") || !f.isSet("type") ? "rope_type" : "type";
    }

    /// @param type of the scaling
    static RopeScaling scaling(Fields f, String type, @Nullable Integer originalOutside, int max) {
        int original = originalOutside != null ? originalOutside : f.integer(ORIGINAL, max);
        // a negative or zero original length or factor would give NaN or negative frequencies
        if (original <= 0)
            throw f.bad(ORIGINAL, "a positive number");
        return switch (type) {
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
            case "longrope" -> {
                List<Double> shorter = f.positiveNumbers("short_factor");
                List<Double> longer = f.positiveNumbers("long_factor");
                if (shorter.size() != longer.size())
                    throw f.bad("long_factor", shorter.size() + " numbers as in short_factor");
                yield new RopeScaling.LongRope(shorter, longer, original, f.isSet("factor") ? factor(f) : null,
                        f.numberOrNull("attention_factor"));
            }
            default -> throw f.bad(ropeKey(f), "one of default, linear, dynamic, llama3, yarn, longrope");
        };
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

    static @Nullable QuantizationConfig quantization(Fields top) {
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
