package dev.gyre.model.family;

import dev.gyre.model.family.EncoderConfig.Act;
import dev.gyre.model.family.EncoderConfig.Dense;
import dev.gyre.model.family.EncoderConfig.Layers;
import dev.gyre.model.family.EncoderConfig.Names;
import dev.gyre.model.family.EncoderConfig.Norm;
import dev.gyre.model.family.EncoderConfig.Normalise;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Rotary;
import dev.gyre.model.family.EncoderConfig.Stage;
import dev.gyre.model.family.EncoderConfig.Text;
import dev.gyre.model.files.Fields;
import dev.gyre.model.weights.Site;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.node.JsonNodeFactory;

/// ModernBERT: norms first, rotary positions, a gated MLP, layers that see all tokens or those nearby.
public record ModernBert() implements EncoderFamily {
    @Override
    public String modelType() {
        return "modernbert";
    }

    @Override
    public String architecture() {
        return "ModernBert";
    }

    @Override
    public String prefix() {
        return "model.";
    }

    @Override
    public EncoderConfig read(ConfigKeys keys, String prefix) {
        Fields f = keys.fields();
        int C = f.integer("hidden_size", 768);
        int heads = f.integer("num_attention_heads", 12);
        int count = EncoderFamilies.layers(f, "num_hidden_layers", 22);
        double eps = EncoderFamilies.eps(f, "norm_eps", 1e-5);
        boolean normBias = f.bool("norm_bias", false);
        boolean bias = f.bool("attention_bias", false);
        if (heads > 0 && C / heads % 2 != 0)
            throw f.bad("num_attention_heads", "heads of an even size; rotary positions turn pairs");
        Text text = new Text(f.integer("vocab_size", 50368), C, prefix + "embeddings.tok_embeddings", null,
                f.integer("max_position_embeddings", 8192), null, null, 0,
                new Norm(prefix + "embeddings.norm", normBias, eps), null, EncoderFamilies.pad(f, 50283));
        Names names = new Names(prefix + "layers.", "attn.Wqkv", "", "", "", "attn.Wo", "mlp.Wi", "mlp.Wo", "attn_norm",
                "mlp_norm");
        boolean mlpBias = f.bool("mlp_bias", false);
        Layers layers = new Layers(names, count, heads, f.integer("intermediate_size", 1152), true, false, bias, bias,
                mlpBias, normBias, eps, 1 / Math.sqrt((double) C / heads),
                EncoderFamilies.activation(f, "hidden_activation", "gelu"), true,
                new Rotary(reach(f, count), theta(f, "full_attention", "global_rope_theta", 160000),
                        theta(f, "sliding_attention", "local_rope_theta", 10000)));
        return new EncoderConfig(this, prefix, C, text, layers, new Norm(prefix + "final_norm", normBias, eps),
                new EncoderConfig.Head(Pooling.MEAN, List.of(), EncoderConfig.Problem.EMBEDDING, C),
                JsonNodeFactory.instance.objectNode());
    }

    /// Half the width of `local_attention` in local layers: those of `layer_types`, else all but every n-th.
    private static List<Integer> reach(Fields f, int count) {
        int half = f.integer("local_attention", 128) / 2;
        if (half < 1)
            throw f.bad("local_attention", "a number from 2");
        List<String> types = f.isSet("layer_types") ? f.texts("layer_types") : null;
        if (types != null && types.size() != count)
            throw f.bad("layer_types", count + " entries, one per layer");
        int every = f.integer("global_attn_every_n_layers", 3);
        if (every < 1)
            throw f.bad("global_attn_every_n_layers", "a positive number");
        List<Integer> reach = new ArrayList<>();
        for (int i = 0; i < count; i++)
            reach.add(types == null ? i % every == 0 ? 0 : half : switch (types.get(i)) {
                case "full_attention" -> 0;
                case "sliding_attention" -> half;
                default -> throw f.bad("layer_types", "full_attention or sliding_attention in each entry");
            });
        return reach;
    }

    /// The base of one kind of layers: in `rope_parameters`, or under its older name.
    private static double theta(Fields f, String kind, String old, double absent) {
        double theta = absent;
        if (f.isSet("rope_parameters") && f.object("rope_parameters").isSet(kind)) {
            Fields rope = f.object("rope_parameters").object(kind);
            if (!rope.text("rope_type", "default").equals("default"))
                throw rope.bad("rope_type", "\"default\"");
            theta = rope.number("rope_theta", absent);
        } else
            if (f.isSet(old))
                theta = f.number(old);
        if (!(theta > 0))
            throw f.bad(old, "a positive number");
        return theta;
    }

    @Override
    public Pooling pooling(EncoderConfig body) {
        Fields f = fields(body);
        return switch (f.text("classifier_pooling", "cls")) {
            case "cls" -> Pooling.FIRST;
            case "mean" -> Pooling.MEAN;
            default -> throw f.bad("classifier_pooling", "cls or mean");
        };
    }

    private static Fields fields(EncoderConfig body) {
        return new Fields(Path.of("config.json"), "", body.json());
    }

    @Override
    public List<Stage> head(EncoderConfig body, boolean tokens, int outputs) {
        Fields f = fields(body);
        int C = body.hiddenSize();
        return List.of(new Dense(new Site("head.dense", C, C, f.bool("classifier_bias", false))),
                new Act(EncoderFamilies.activation(f, "classifier_activation", "gelu")),
                new Normalise(new Norm("head.norm", f.bool("norm_bias", false), body.layers().eps())),
                new Dense(new Site("classifier", C, outputs, true)));
    }
}
