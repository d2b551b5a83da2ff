package dev.gyre.model.family;

import dev.gyre.model.family.EncoderConfig.Dense;
import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.family.EncoderConfig.Layers;
import dev.gyre.model.family.EncoderConfig.Names;
import dev.gyre.model.family.EncoderConfig.Norm;
import dev.gyre.model.family.EncoderConfig.Plain;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Stage;
import dev.gyre.model.files.Fields;
import dev.gyre.model.weights.Site;
import java.util.List;
import java.util.Set;
import tools.jackson.databind.node.JsonNodeFactory;

/// The vision transformer: patches behind a class token, norms first, learned positions.
public record Vit() implements EncoderFamily {
    @Override
    public String modelType() {
        return "vit";
    }

    @Override
    public String architecture() {
        return "ViT";
    }

    @Override
    public String prefix() {
        return "vit.";
    }

    @Override
    public EncoderConfig read(ConfigKeys keys, String prefix) {
        return body(this, keys.fields(), prefix, List.of(prefix + "embeddings.cls_token"));
    }

    static EncoderConfig body(EncoderFamily family, Fields f, String prefix, List<String> tokens) {
        double eps = EncoderFamilies.eps(f, "layer_norm_eps", 1e-12);
        int C = f.integer("hidden_size", 768);
        int heads = f.integer("num_attention_heads", 12);
        int[] size = pair(f, "image_size", 224);
        int[] patch = pair(f, "patch_size", 16);
        if (size[0] < patch[0] || size[1] < patch[1])
            throw f.bad("patch_size", "a size that fits the image");
        String e = prefix + "embeddings.";
        Image image = new Image(f.integer("num_channels", 3), size[0], size[1], patch[0], patch[1],
                e + "patch_embeddings.projection", tokens, e + "position_embeddings");
        Names names = new Names(prefix + "layers.", null, "attention.q_proj", "attention.k_proj", "attention.v_proj",
                "attention.o_proj", "mlp.fc1", "mlp.fc2", "layernorm_before", "layernorm_after");
        Layers layers = new Layers(names, EncoderFamilies.layers(f, "num_hidden_layers", 12), heads,
                f.integer("intermediate_size", 3072), true, true, f.bool("qkv_bias", true), true, true, true, eps,
                1 / Math.sqrt((double) C / heads), EncoderFamilies.activation(f, "hidden_act", "gelu"), false,
                new Plain());
        return new EncoderConfig(family, prefix, C, image, layers, new Norm(prefix + "layernorm", true, eps),
                new EncoderConfig.Head(Pooling.FIRST, List.of(), EncoderConfig.Problem.EMBEDDING, C),
                JsonNodeFactory.instance.objectNode());
    }

    /// A size: one number, or height and width.
    private static int[] pair(Fields f, String key, int absent) {
        int[] out = {absent, absent};
        if (f.isSet(key) && f.node(key).isArray()) {
            List<Integer> both = f.integers(key);
            if (both.size() != 2)
                throw f.bad(key, "a number, or height and width");
            out = new int[] {both.get(0), both.get(1)};
        } else {
            int one = f.integer(key, absent);
            out = new int[] {one, one};
        }
        if (out[0] < 1 || out[1] < 1)
            throw f.bad(key, "a positive number");
        return out;
    }

    @Override
    public Pooling pooling(EncoderConfig body) {
        return Pooling.FIRST;
    }

    @Override
    public List<Stage> head(EncoderConfig body, boolean tokens, int outputs) {
        if (tokens)
            throw new IllegalArgumentException("images have no tokens to classify");
        return List.of(new Dense(new Site("classifier", body.hiddenSize(), outputs, true)));
    }

    /// transformers before 5 had the names of BERT.
    @Override
    public Set<String> spellings(String tensor) {
        return Set.of(tensor.replaceFirst("(^|\\.)layers\\.", "$1encoder.layer.")
                .replace(".attention.q_proj.", ".attention.attention.query.")
                .replace(".attention.k_proj.", ".attention.attention.key.")
                .replace(".attention.v_proj.", ".attention.attention.value.")
                .replace(".attention.o_proj.", ".attention.output.dense.")
                .replace(".mlp.fc1.", ".intermediate.dense.").replace(".mlp.fc2.", ".output.dense."));
    }
}
