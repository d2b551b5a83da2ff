package dev.gyre.model.family;

import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// `config.json` of a Hugging Face model directory, in the layouts of transformers 4.x (rope_theta and rope_scaling)
/// and 5.x (rope_parameters, layer_types), read into a [ModelConfig]; and written in the 4.x layout, which both read.
/// Absent keys take the defaults of the family's configuration class.
public final class HfConfig {
    private HfConfig() {
    }

    /// Reads `config.json`, given that file.
    public static ModelConfig read(Path file) {
        return parse(file, Json.readObject(file));
    }

    public static ModelConfig parse(Path file, ObjectNode json) {
        var f = new Fields(file, "", json);
        Family family = family(f);
        if (!List.of("silu", "swish").contains(f.text("hidden_act", "silu")))
            throw f.bad("hidden_act", "\"silu\"");
        if (f.number("partial_rotary_factor", 1) != 1)
            throw f.bad("partial_rotary_factor", "1 or no such key");
        int hidden = f.integer("hidden_size");
        int heads = f.integer("num_attention_heads");
        int layers = f.integer("num_hidden_layers");
        if (layers < 1 || layers > 10_000)
            throw f.bad("num_hidden_layers", "a number from 1 to 10000");
        int maxPositions = f.integer("max_position_embeddings", switch (family) {
            case LLAMA -> 2048;
            case MISTRAL -> 131072;
            case QWEN2, QWEN3 -> 32768;
        });
        int kvHeads = f.isSet("num_key_value_heads") ? f.integer("num_key_value_heads")
                : f.has("num_key_value_heads") ? heads : switch (family) {
                    case LLAMA -> heads;
                    case MISTRAL -> 8;
                    case QWEN2, QWEN3 -> 32;
                };
        int headDim = f.integer("head_dim", family == Family.QWEN3 ? 128 : heads > 0 ? hidden / heads : 0);
        boolean attentionBias = (family == Family.LLAMA || family == Family.QWEN3) && f.bool("attention_bias", false);
        Integer pad = f.integerOrNull("pad_token_id");
        Rope rope = rope(f, maxPositions);
        try {
            return new ModelConfig(family, f.integer("vocab_size"), hidden, f.integer("intermediate_size"), layers,
                    heads, kvHeads, headDim, f.number("rms_norm_eps", 1e-6), f.bool("tie_word_embeddings", false),
                    maxPositions, rope.theta(), rope.scaling(), windows(f, family, layers),
                    attentionBias || family == Family.QWEN2, attentionBias,
                    family == Family.LLAMA && f.bool("mlp_bias", false), family == Family.QWEN3,
                    f.integerOrNull("bos_token_id"), f.integers("eos_token_id"), pad == null || pad < 0 ? null : pad,
                    f.textOrNull(f.isSet("dtype") ? "dtype" : "torch_dtype"), quantization(f));
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw new FormatException(file, e.getMessage() + "; correct the file", e);
        }
    }

    private static Family family(Fields f) {
        String type = f.textOrNull("model_type");
        for (Family family : Family.values())
            if (family.modelType.equals(type))
                return family;
        throw f.bad("model_type", Arrays.stream(Family.values()).map(x -> '"' + x.modelType + '"')
                .collect(Collectors.joining(", ", "one of ", "")));
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
            case "yarn" -> new RopeScaling.Yarn(factor(f), original, f.number("beta_fast", 32),
                    f.number("beta_slow", 1), f.numberOrNull("attention_factor"), f.numberOrNull("mscale"),
                    f.numberOrNull("mscale_all_dim"), f.bool("truncate", true));
            default -> throw f.bad(key, "one of default, linear, dynamic, llama3, yarn");
        };
        return new Rope(theta, scaling);
    }

    private static double factor(Fields f) {
        double factor = f.number("factor");
        if (!(factor >= 1))
            throw f.bad("factor", "a number from 1");
        return factor;
    }

    private static List<Integer> windows(Fields f, Family family, int n) {
        return switch (family) {
            case LLAMA -> Collections.nCopies(n, 0);
            // transformers takes a Mistral with layer_types for a Ministral
            case MISTRAL -> windows(f, n, window(f, 4096), 0, "sliding_window is set");
            case QWEN2, QWEN3 -> windows(f, n, f.bool("use_sliding_window", false) ? window(f, 4096) : 0,
                    f.integer("max_window_layers", 28), "use_sliding_window is true and sliding_window is set");
        };
    }

    /// By `layer_types`, without them `window` from layer `from` on; `when` there are windows at all.
    private static List<Integer> windows(Fields f, int n, int window, int from, String when) {
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

    /// Absent means the class default, null means none.
    private static int window(Fields f, int absent) {
        if (!f.has("sliding_window"))
            return absent;
        int window = f.integer("sliding_window", 0);
        if (window < 0 || window == 0 && f.isSet("sliding_window"))
            throw f.bad("sliding_window", "null or a positive number");
        return window;
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

    /// `config.json` for a model of this shape, keys sorted, in the 4.x layout.
    public static ObjectNode toJson(ModelConfig c) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.putArray("architectures").add(c.family().architecture);
        if (c.family() == Family.LLAMA || c.family() == Family.QWEN3)
            o.put("attention_bias", c.oBias());
        o.put("attention_dropout", 0.0);
        if (c.bosTokenId() == null)
            o.putNull("bos_token_id");
        else
            o.put("bos_token_id", c.bosTokenId());
        switch (c.eosTokenIds().size()) {
            case 0 -> o.putNull("eos_token_id");
            case 1 -> o.put("eos_token_id", c.eosTokenIds().getFirst());
            default -> c.eosTokenIds().forEach(o.putArray("eos_token_id")::add);
        }
        o.put("head_dim", c.headDim());
        o.put("hidden_act", "silu");
        o.put("hidden_size", c.hiddenSize());
        o.put("initializer_range", 0.02);
        o.put("intermediate_size", c.intermediateSize());
        putWindows(o, c);
        o.put("max_position_embeddings", c.maxPositionEmbeddings());
        if (c.family() == Family.LLAMA)
            o.put("mlp_bias", c.mlpBias());
        o.put("model_type", c.family().modelType);
        o.put("num_attention_heads", c.numHeads());
        o.put("num_hidden_layers", c.numLayers());
        o.put("num_key_value_heads", c.numKvHeads());
        if (c.padTokenId() == null)
            o.putNull("pad_token_id");
        else
            o.put("pad_token_id", c.padTokenId());
        QuantizationConfig q = c.quantization();
        if (q != null)
            o.set("quantization_config", toJson(q));
        o.put("rms_norm_eps", c.rmsNormEps());
        o.set("rope_scaling", toJson(c.ropeScaling()));
        o.put("rope_theta", c.ropeTheta());
        o.put("tie_word_embeddings", c.tieWordEmbeddings());
        o.put("torch_dtype", c.dtype() == null ? "float32" : c.dtype());
        o.put("use_cache", true);
        o.put("vocab_size", c.vocabSize());
        return sorted(o);
    }

    private static void putWindows(ObjectNode o, ModelConfig c) {
        int window = c.windows().stream().mapToInt(Integer::intValue).max().orElse(0);
        switch (c.family()) {
            case LLAMA -> {
            }
            case MISTRAL -> {
                if (window == 0)
                    o.putNull("sliding_window");
                else
                    o.put("sliding_window", window);
                if (c.windows().stream().anyMatch(w -> w != window))
                    putLayerTypes(o, c);
            }
            case QWEN2, QWEN3 -> {
                o.put("use_sliding_window", window > 0);
                if (window == 0) {
                    o.putNull("sliding_window");
                    return;
                }
                o.put("sliding_window", window);
                putLayerTypes(o, c);
                int from = c.windows().indexOf(window);
                o.put("max_window_layers", from);
            }
        }
    }

    private static void putLayerTypes(ObjectNode o, ModelConfig c) {
        ArrayNode types = o.putArray("layer_types");
        c.windows().forEach(w -> types.add(w == 0 ? "full_attention" : "sliding_attention"));
    }

    private static JsonNode toJson(RopeScaling scaling) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        switch (scaling) {
            case RopeScaling.Default _ -> {
                return Json.MAPPER.nullNode();
            }
            case RopeScaling.Linear s -> o.put("factor", s.factor()).put("rope_type", "linear");
            case RopeScaling.Dynamic s -> o.put("factor", s.factor()).put("rope_type", "dynamic");
            case RopeScaling.Llama3 s -> o.put("factor", s.factor()).put("high_freq_factor", s.highFreqFactor())
                    .put("low_freq_factor", s.lowFreqFactor())
                    .put("original_max_position_embeddings", s.originalMaxPositions()).put("rope_type", "llama3");
            case RopeScaling.Yarn s -> {
                if (s.attentionFactor() != null)
                    o.put("attention_factor", s.attentionFactor());
                o.put("beta_fast", s.betaFast()).put("beta_slow", s.betaSlow()).put("factor", s.factor());
                if (s.mscale() != null)
                    o.put("mscale", s.mscale());
                if (s.mscaleAllDim() != null)
                    o.put("mscale_all_dim", s.mscaleAllDim());
                o.put("original_max_position_embeddings", s.originalMaxPositions()).put("rope_type", "yarn")
                        .put("truncate", s.truncate());
            }
        }
        return o;
    }

    private static ObjectNode toJson(QuantizationConfig q) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.put("_load_in_4bit", true).put("_load_in_8bit", false);
        o.put("bnb_4bit_compute_dtype", q.computeDtype()).put("bnb_4bit_quant_storage", q.storage());
        o.put("bnb_4bit_quant_type", "nf4").put("bnb_4bit_use_double_quant", q.doubleQuant());
        o.put("llm_int8_enable_fp32_cpu_offload", false).put("llm_int8_has_fp16_weight", false);
        if (q.skipModules().isEmpty())
            o.putNull("llm_int8_skip_modules");
        else
            q.skipModules().forEach(o.putArray("llm_int8_skip_modules")::add);
        o.put("llm_int8_threshold", 6.0).put("load_in_4bit", true).put("load_in_8bit", false);
        o.put("quant_method", "bitsandbytes");
        return o;
    }

    public static ObjectNode sorted(ObjectNode o) {
        ObjectNode sorted = Json.MAPPER.createObjectNode();
        o.propertyNames().stream().sorted().forEach(k -> sorted.set(k, o.get(k)));
        return sorted;
    }
}
