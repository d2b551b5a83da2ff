package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.QkNorm;
import tools.jackson.databind.node.ObjectNode;

/// OLMo 2 (arXiv 2501.00656): norms on the outputs of attention and MLP instead of their inputs, queries and keys
/// normalised over their whole width, optional biases on all attention projections.
public record Olmo2() implements Family {
    @Override
    public String modelType() {
        return "olmo2";
    }

    @Override
    public String architecture() {
        return "Olmo2ForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        return new ModelConfig(this, keys.shape(),
                keys.attention(keys.heads(), keys.evenHeadDim(), keys.flag("attention_bias") ? Bias.ALL : Bias.NONE,
                        QkNorm.WHOLE),
                keys.positions(2048, keys.fullAttention()), keys.mlp(false), keys.norms(NormPlacement.AFTER, 1e-5),
                keys.tokens(), keys.stored());
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        json.put("attention_bias", c.attention().bias() == Bias.ALL);
    }
}
