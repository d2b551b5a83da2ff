package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.Positions;
import dev.gyre.model.family.ModelConfig.QkNorm;
import dev.gyre.model.family.ModelConfig.Sight;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// SmolLM3: Llama without rotary positions in some layers (`no_rope_layers`), which may have attention windows.
public record SmolLm3() implements Family {
    private static final String ROTARY_LAYERS = "no_rope_layers";
    private static final String INTERVAL = "no_rope_layer_interval";

    @Override
    public String modelType() {
        return "smollm3";
    }

    @Override
    public String architecture() {
        return "SmolLM3ForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        List<Boolean> rotary = rotaryLayers(keys);
        int window = keys.flag("use_sliding_window") ? keys.window(0) : 0;
        List<Integer> windows = keys.windows(window, i -> !rotary.get(i),
                "use_sliding_window is true and sliding_window is set");
        Positions same = keys.positions(32768, 2e6, windows);
        List<Sight> layers = new ArrayList<>();
        for (int i = 0; i < rotary.size(); i++)
            layers.add(rotary.get(i) ? same.layers().get(i) : new Sight(windows.get(i), null));
        return new ModelConfig(this, keys.shape(true),
                keys.attention(4, keys.evenHeadDim(), keys.flag("attention_bias") ? Bias.ALL : Bias.NONE, QkNorm.NONE),
                new Positions(same.max(), layers), keys.mlp(keys.flag("mlp_bias")),
                keys.norms(NormPlacement.BEFORE, 1e-6), keys.tokens(), keys.stored());
    }

    /// Whether each layer has rotary positions: the misnamed `no_rope_layers` has 1 where there are; without it every
    /// `no_rope_layer_interval`-th layer has none.
    private static List<Boolean> rotaryLayers(ConfigKeys keys) {
        int n = keys.layers();
        List<Boolean> all = new ArrayList<>();
        if (keys.fields().isSet(ROTARY_LAYERS)) {
            List<Integer> given = keys.fields().integers(ROTARY_LAYERS);
            if (given.size() < n || given.stream().anyMatch(x -> x != 0 && x != 1))
                throw keys.fields().bad(ROTARY_LAYERS, "0 or 1 for each of the " + n + " layers");
            for (int i = 0; i < n; i++)
                all.add(given.get(i) == 1);
            return all;
        }
        int interval = keys.fields().integer(INTERVAL, 4);
        if (interval < 1)
            throw keys.fields().bad(INTERVAL, "a positive number");
        for (int i = 1; i <= n; i++)
            all.add(i % interval != 0);
        return all;
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        json.put("attention_bias", c.attention().bias() == Bias.ALL);
        json.put("mlp_bias", c.mlp().bias());
        ArrayNode rotary = json.putArray(ROTARY_LAYERS);
        c.positions().layers().forEach(s -> rotary.add(s.rotary() == null ? 0 : 1));
        int window = c.positions().largestWindow();
        json.put("use_sliding_window", window > 0);
        if (window == 0)
            json.putNull("sliding_window");
        else
            json.put("sliding_window", window);
        ConfigKeys.putLayerTypes(json, c);
    }
}
