package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.Positions;
import dev.gyre.model.family.ModelConfig.QkNorm;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.files.Fields;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// Phi-3, Phi-3.5 and Phi-4: q, k and v in one weight, gate and up in another; rotary positions of a part of each head
/// (Phi-4-mini) and LongRoPE; one attention window for all layers.
public record Phi3() implements Family {
    private static final String PARTIAL = "partial_rotary_factor";
    private static final String ORIGINAL = "original_max_position_embeddings";

    @Override
    public String modelType() {
        return "phi3";
    }

    @Override
    public String architecture() {
        return "Phi3ForCausalLM";
    }

    @Override
    public ModelConfig read(ConfigKeys keys) {
        int max = keys.maxPositions(4096);
        int window = keys.window(0);
        return new ModelConfig(this, keys.shape(),
                keys.attention(keys.heads(), keys.evenHeadDim(), Bias.NONE, QkNorm.NONE).inOneModule(),
                new Positions(max, rotary(keys, max), keys.fullAttention().stream().map(_ -> window).toList()),
                keys.mlp(false).inOneModule(), keys.norms(NormPlacement.BEFORE, 1e-5), keys.tokens(), keys.stored());
    }

    /// The original length is said outside the object with rotary parameters, where the configuration class has 4096.
    private static Rotary rotary(ConfigKeys keys, int max) {
        Fields top = keys.fields();
        Fields f = keys.ropeObject();
        int original = top.integer(ORIGINAL, 4096);
        if (original < 2)
            throw top.bad(ORIGINAL, "2 or more");
        double share = top.number(PARTIAL, 1);
        if (f == null)
            return new Rotary(top.number("rope_theta", 10000), share, new RopeScaling.Default());
        String type = switch (ConfigKeys.ropeType(f)) {
            case "default" -> "default";
            // what the first files called it
            case "longrope", "su", "yarn" -> "longrope";
            default -> throw f.bad(f.isSet("rope_type") ? "rope_type" : "type", "default or longrope");
        };
        return new Rotary(f.number("rope_theta", top.number("rope_theta", 10000)), f.number(PARTIAL, share),
                ConfigKeys.scaling(f, type, original, max));
    }

    @Override
    public void write(ModelConfig c, ObjectNode json) {
        int window = c.positions().largestWindow();
        if (window == 0)
            json.putNull("sliding_window");
        else
            json.put("sliding_window", window);
        Rotary r = c.positions().rotaries().getFirst();
        json.put(PARTIAL, r.share());
        if (r.scaling() instanceof RopeScaling.LongRope l) {
            json.put(ORIGINAL, l.originalMaxPositions());
            json.set("rope_scaling", longRope(l));
        }
    }

    /// transformers 4 takes `type` and the two lists, and nothing else.
    private static ObjectNode longRope(RopeScaling.LongRope l) {
        ObjectNode o = (ObjectNode) HfConfig.toJson(l);
        o.remove(List.of("rope_type", ORIGINAL));
        o.put("type", "longrope");
        return o;
    }
}
