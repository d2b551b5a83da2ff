package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.QkNorm;
import tools.jackson.databind.node.ObjectNode;

/// Llama 2 and 3: optional biases on all attention and on all MLP projections.
public record Llama() implements Family {
    @Override
    public String modelType() {
        return "llama";
    }

    @Override
    public String architecture() {
        return "LlamaForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        return new ModelConfig(this, keys.shape(),
                keys.attention(keys.heads(), keys.evenHeadDim(), keys.flag("attention_bias") ? Bias.ALL : Bias.NONE,
                        QkNorm.NONE),
                keys.positions(2048, keys.fullAttention()), keys.mlp(keys.flag("mlp_bias")),
                keys.norms(NormPlacement.BEFORE, 1e-6), keys.tokens(), keys.stored());
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        json.put("attention_bias", c.attention().bias() == Bias.ALL);
        json.put("mlp_bias", c.mlp().bias());
    }
}
