package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Positions;
import dev.gyre.model.family.ModelConfig.QkNorm;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.family.ModelConfig.Sight;
import dev.gyre.model.files.Fields;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// Gemma 3 for text: Gemma 2 with queries and keys normalised per head, without a cap on scores, and with rotary positions
/// of their own in the layers that have a window.
public record Gemma3() implements Family {
    private static final String FULL = "full_attention";
    private static final String SLIDING = "sliding_attention";
    private static final String LOCAL = "rope_local_base_freq";

    @Override
    public String modelType() {
        return "gemma3_text";
    }

    @Override
    public String architecture() {
        return "Gemma3ForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        if (keys.fields().isSet(Gemma2.SCORES)) // transformers reads the key and does not cap
            throw keys.fields().bad(Gemma2.SCORES, "null");
        int max = keys.maxPositions(131072);
        int pattern = keys.fields().integer("sliding_window_pattern", 6);
        if (pattern < 1)
            throw keys.fields().bad("sliding_window_pattern", "a positive number");
        Rotary full = full(keys, max);
        Rotary local = local(keys, max);
        List<Sight> layers = Gemma2.windows(keys, pattern).stream().map(w -> new Sight(w, w == 0 ? full : local))
                .toList();
        return new ModelConfig(this, keys.shape(true), Gemma2.attention(keys, QkNorm.PER_HEAD),
                new Positions(max, layers), keys.mlp(false, "hidden_activation", "gelu_pytorch_tanh"),
                Gemma2.norms(keys), Gemma2.multipliers(keys, 0), keys.tokens(), keys.stored());
    }

    /// `rope_parameters.full_attention`; in older files `rope_theta` and `rope_scaling`.
    private static Rotary full(ConfigKeys keys, int max) {
        Fields top = keys.fields();
        double theta = top.number("rope_theta", 1e6);
        Fields nested = nested(keys, FULL);
        boolean old = top.isSet("rope_scaling") && !top.object("rope_scaling").isEmpty();
        if (old && nested != null)
            throw top.bad("rope_scaling", "null beside rope_parameters." + FULL);
        return rotary(old ? top.object("rope_scaling") : nested, theta, max);
    }

    /// `rope_parameters.sliding_attention`; in older files `rope_local_base_freq`.
    private static Rotary local(ConfigKeys keys, int max) {
        return rotary(nested(keys, SLIDING), keys.fields().number(LOCAL, 1e4), max);
    }

    private static Rotary rotary(@Nullable Fields f, double theta, int max) {
        if (f != null && List.of("longrope", "dynamic").contains(ConfigKeys.ropeType(f)))
            throw f.bad(f.isSet("rope_type") ? "rope_type" : "type", "one of default, linear, llama3, yarn");
        return ConfigKeys.rotary(f, theta, null, max);
    }

    private static @Nullable Fields nested(ConfigKeys keys, String kind) {
        if (!keys.fields().isSet("rope_parameters"))
            return null;
        Fields all = keys.fields().object("rope_parameters");
        for (String name : all.names())
            if (!name.equals(FULL) && !name.equals(SLIDING))
                throw all.bad(name, "parameters for " + FULL + " and " + SLIDING);
        return all.isSet(kind) ? all.object(kind) : null;
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        Gemma2.put(c, json);
        json.remove(List.of("rope_theta", "rope_scaling"));
        for (Sight s : c.positions().layers()) {
            Rotary r = s.rotary();
            if (r == null)
                continue;
            if (s.window() == 0) {
                json.put("rope_theta", r.theta());
                json.set("rope_scaling", HfConfig.toJson(r.scaling()));
            } else {
                json.put(LOCAL, r.theta());
            }
        }
    }
}
