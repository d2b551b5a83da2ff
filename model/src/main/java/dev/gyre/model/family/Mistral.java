package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.QkNorm;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// Mistral: no biases, one attention window for all layers; with `layer_types` only for some of them, which transformers
/// then calls Ministral.
public record Mistral() implements Family {
    @Override
    public String modelType() {
        return "mistral";
    }

    @Override
    public String architecture() {
        return "MistralForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        List<Integer> windows = keys.windows(keys.window(4096), _ -> true, "sliding_window is set");
        return new ModelConfig(this, keys.shape(),
                keys.attention(8, keys.evenHeadDim(), Bias.NONE, QkNorm.NONE), keys.positions(131072, windows),
                keys.mlp(false), keys.norms(NormPlacement.BEFORE, 1e-6), keys.tokens(), keys.stored());
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        int window = c.positions().largestWindow();
        if (window == 0)
            json.putNull("sliding_window");
        else
            json.put("sliding_window", window);
        if (c.positions().windows().stream().anyMatch(w -> w != window))
            ConfigKeys.putLayerTypes(json, c);
    }
}
