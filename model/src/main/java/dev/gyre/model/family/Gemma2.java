package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Attention;
import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.Multipliers;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.Norms;
import dev.gyre.model.family.ModelConfig.QkNorm;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// Gemma 2: norms around attention and MLP that scale by 1 + w, a GELU as gate, embeddings times the root of their width,
/// soft caps on scores and logits, an attention window in every second layer.
public record Gemma2() implements Family {
    static final String SCORES = "attn_logit_softcapping";
    static final String LOGITS = "final_logit_softcapping";

    @Override
    public String modelType() {
        return "gemma2";
    }

    @Override
    public String architecture() {
        return "Gemma2ForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        return new ModelConfig(this, keys.shape(true), attention(keys, QkNorm.NONE).capped(keys.softCap(SCORES, 50)),
                keys.positions(8192, windows(keys, 2)), keys.mlp(false, "hidden_activation", "gelu_pytorch_tanh"),
                norms(keys), multipliers(keys, 30), keys.tokens(), keys.stored());
    }

    static Attention attention(ConfigKeys keys, QkNorm qkNorm) {
        if (keys.flag("use_bidirectional_attention"))
            throw keys.fields().bad("use_bidirectional_attention", "false; a decoder's tokens see those before them");
        double scalar = keys.fields().number("query_pre_attn_scalar", 256);
        return keys.attention(4, 256, keys.flag("attention_bias") ? Bias.ALL : Bias.NONE, qkNorm)
                .scaled(1 / Math.sqrt(scalar));
    }

    static Norms norms(ConfigKeys keys) {
        return new Norms(NormPlacement.AROUND, keys.norms(NormPlacement.AROUND, 1e-6).eps(), 1);
    }

    static Multipliers multipliers(ConfigKeys keys, double cap) {
        return new Multipliers(Math.sqrt(keys.fields().integer("hidden_size")), 1, 1, keys.softCap(LOGITS, cap));
    }

    /// Without `layer_types`, every `pattern`-th layer has full attention and all others the window.
    static List<Integer> windows(ConfigKeys keys, int pattern) {
        int window = keys.window(4096);
        if (window == 0 && !keys.fields().isSet("layer_types"))
            throw keys.fields().bad("sliding_window", "a positive number");
        return keys.windows(window, i -> (i + 1) % pattern != 0, "sliding_window is set");
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        put(c, json);
    }

    /// What both generations have.
    static void put(ModelConfig c, ObjectNode json) {
        json.set("hidden_activation", json.remove("hidden_act"));
        json.put("attention_bias", c.attention().bias() == Bias.ALL);
        double scalar = 1 / (c.attention().scale() * c.attention().scale());
        if (Math.abs(scalar - Math.rint(scalar)) < 1e-9 * scalar)
            json.put("query_pre_attn_scalar", Math.round(scalar)); // a whole number in transformers
        else
            json.put("query_pre_attn_scalar", scalar);
        putCap(json, SCORES, c.attention().softCap());
        putCap(json, LOGITS, c.multipliers().softCap());
        int window = c.positions().largestWindow();
        if (window == 0)
            json.putNull("sliding_window");
        else
            json.put("sliding_window", window);
        ConfigKeys.putLayerTypes(json, c);
    }

    private static void putCap(ObjectNode json, String key, double cap) {
        if (cap == 0)
            json.putNull(key);
        else
            json.put(key, cap);
    }
}
