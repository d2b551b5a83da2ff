package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.QkNorm;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// Qwen2 and Qwen2.5: biases on q, k and v, without a key that says so; attention windows from some layer on.
public record Qwen2() implements Family {
    @Override
    public String modelType() {
        return "qwen2";
    }

    @Override
    public String architecture() {
        return "Qwen2ForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        return new ModelConfig(this, keys.shape(),
                keys.attention(32, keys.evenHeadDim(), Bias.QKV, QkNorm.NONE),
                keys.positions(32768, windows(keys)), keys.mlp(false), keys.norms(NormPlacement.BEFORE, 1e-6),
                keys.tokens(), keys.stored());
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        putWindows(c, json);
    }

    /// `sliding_window` counts only when `use_sliding_window` is true, and then from layer `max_window_layers` on.
    static List<Integer> windows(ConfigKeys keys) {
        int from = keys.fields().integer("max_window_layers", 28);
        return keys.windows(keys.flag("use_sliding_window") ? keys.window(4096) : 0, i -> i >= from,
                "use_sliding_window is true and sliding_window is set");
    }

    static void putWindows(ModelConfig c, ObjectNode json) {
        int window = c.positions().largestWindow();
        json.put("use_sliding_window", window > 0);
        if (window == 0) {
            json.putNull("sliding_window");
            return;
        }
        json.put("sliding_window", window);
        ConfigKeys.putLayerTypes(json, c);
        json.put("max_window_layers", c.positions().windows().indexOf(window));
    }
}
