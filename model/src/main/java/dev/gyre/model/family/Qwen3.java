package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.QkNorm;
import tools.jackson.databind.node.ObjectNode;

/// Qwen3: queries and keys normalised per head, optional biases on all attention projections, windows as in Qwen2.
public record Qwen3() implements Family {
    @Override
    public String modelType() {
        return "qwen3";
    }

    @Override
    public String architecture() {
        return "Qwen3ForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        return new ModelConfig(this, keys.shape(),
                keys.attention(32, 128, keys.flag("attention_bias") ? Bias.ALL : Bias.NONE, QkNorm.PER_HEAD),
                keys.positions(32768, Qwen2.windows(keys)), keys.mlp(false), keys.norms(NormPlacement.BEFORE, 1e-6),
                keys.tokens(), keys.stored());
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        json.put("attention_bias", c.attention().bias() == Bias.ALL);
        Qwen2.putWindows(c, json);
    }
}
