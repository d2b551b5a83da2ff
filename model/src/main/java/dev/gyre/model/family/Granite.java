package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.QkNorm;
import tools.jackson.databind.node.ObjectNode;

/// Granite 3: Llama with constant factors on embedding, attention scores, residual branches and logits.
public record Granite() implements Family {
    @Override
    public String modelType() {
        return "granite";
    }

    @Override
    public String architecture() {
        return "GraniteForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        return new ModelConfig(this, keys.shape(),
                keys.attention(keys.heads(), keys.evenHeadDim(), keys.flag("attention_bias") ? Bias.ALL : Bias.NONE,
                        QkNorm.NONE).scaled(keys.fields().number("attention_multiplier", 1)),
                keys.positions(2048, keys.fullAttention()), keys.mlp(keys.flag("mlp_bias")),
                keys.norms(NormPlacement.BEFORE, 1e-6), keys.multipliers(), keys.tokens(), keys.stored());
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        json.put("attention_bias", c.attention().bias() == Bias.ALL);
        json.put("mlp_bias", c.mlp().bias());
        json.put("attention_multiplier", c.attention().scale());
        json.put("embedding_multiplier", c.multipliers().embedding());
        json.put("residual_multiplier", c.multipliers().residual());
        json.put("logits_scaling", c.multipliers().logits());
    }
}
