package dev.gyre.model.family;

import dev.gyre.kernels.InputException;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
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
        try {
            return family.read(new ConfigKeys(f));
        } catch (IllegalArgumentException | InputException | ArithmeticException e) {
            throw new FormatException(file, e.getMessage() + "; correct the file", e);
        }
    }

    private static Family family(Fields f) {
        String type = f.textOrNull("model_type");
        for (Family family : Families.all())
            if (family.modelType().equals(type))
                return family;
        for (EncoderFamily encoder : EncoderFamilies.all())
            if (encoder.modelType().equals(type))
                throw f.bad("model_type", "a decoder here; " + type + " predicts no next token: train it with a section"
                        + " task in run.yaml, where model.base nf4 holds it in 4 bits, and use it with classify, embed"
                        + " and eval");
        throw f.bad("model_type", Families.all().stream().map(x -> '"' + x.modelType() + '"')
                .collect(Collectors.joining(", ", "one of ", "")));
    }

    /// `config.json` for a model of this shape, keys sorted, in the 4.x layout.
    public static ObjectNode toJson(ModelConfig c) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.putArray("architectures").add(c.family().architecture());
        o.put("attention_dropout", 0.0);
        if (c.tokens().bos() == null)
            o.putNull("bos_token_id");
        else
            o.put("bos_token_id", c.tokens().bos());
        switch (c.tokens().eos().size()) {
            case 0 -> o.putNull("eos_token_id");
            case 1 -> o.put("eos_token_id", c.tokens().eos().getFirst());
            default -> c.tokens().eos().forEach(o.putArray("eos_token_id")::add);
        }
        o.put("head_dim", c.attention().headDim());
        o.put("hidden_act", ConfigKeys.name(c.mlp().activation()));
        o.put("hidden_size", c.hiddenSize());
        o.put("initializer_range", 0.02);
        o.put("intermediate_size", c.mlp().intermediateSize());
        o.put("max_position_embeddings", c.maxPositionEmbeddings());
        o.put("model_type", c.family().modelType());
        o.put("num_attention_heads", c.attention().heads());
        o.put("num_hidden_layers", c.shape().layers());
        o.put("num_key_value_heads", c.attention().kvHeads());
        if (c.tokens().pad() == null)
            o.putNull("pad_token_id");
        else
            o.put("pad_token_id", c.tokens().pad());
        QuantizationConfig q = c.stored().quantization();
        if (q != null)
            o.set("quantization_config", toJson(q));
        o.put("rms_norm_eps", c.norms().eps());
        List<Rotary> rotaries = c.positions().rotaries();
        if (!rotaries.isEmpty()) {
            o.set("rope_scaling", toJson(rotaries.getFirst().scaling()));
            o.put("rope_theta", rotaries.getFirst().theta());
        }
        o.put("tie_word_embeddings", c.tieWordEmbeddings());
        o.put("torch_dtype", c.stored().dtype() == null ? "float32" : c.stored().dtype());
        o.put("use_cache", true);
        o.put("vocab_size", c.vocabSize());
        c.family().write(c, o);
        return sorted(o);
    }

    static JsonNode toJson(RopeScaling scaling) {
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
            case RopeScaling.LongRope s -> {
                if (s.attentionFactor() != null)
                    o.put("attention_factor", s.attentionFactor());
                if (s.factor() != null)
                    o.put("factor", s.factor());
                s.longFactor().forEach(o.putArray("long_factor")::add);
                o.put("original_max_position_embeddings", s.originalMaxPositions()).put("rope_type", "longrope");
                s.shortFactor().forEach(o.putArray("short_factor")::add);
            }
        }
        return o;
    }

    /// How a model's linear weights are quantised; null where they are not.
    ///
    /// @throws dev.gyre.model.files.FormatException for other ways than bitsandbytes' 4-bit NormalFloat
    public static @Nullable QuantizationConfig quantization(Path file, ObjectNode json) {
        return ConfigKeys.quantization(new Fields(file, "", json));
    }

    /// `quantization_config`, in the fields and the order that transformers writes.
    public static ObjectNode toJson(QuantizationConfig q) {
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
