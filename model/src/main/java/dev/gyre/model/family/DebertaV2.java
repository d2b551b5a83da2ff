package dev.gyre.model.family;

import dev.gyre.model.family.EncoderConfig.Act;
import dev.gyre.model.family.EncoderConfig.Convolution;
import dev.gyre.model.family.EncoderConfig.Dense;
import dev.gyre.model.family.EncoderConfig.Layers;
import dev.gyre.model.family.EncoderConfig.Names;
import dev.gyre.model.family.EncoderConfig.Norm;
import dev.gyre.model.family.EncoderConfig.Plain;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Relative;
import dev.gyre.model.family.EncoderConfig.Stage;
import dev.gyre.model.family.EncoderConfig.Text;
import dev.gyre.model.files.Fields;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.JsonNodeFactory;

/// DeBERTa-v2 and v3: scores by contents and relative positions in buckets.
public record DebertaV2() implements EncoderFamily {
    @Override
    public String modelType() {
        return "deberta-v2";
    }

    @Override
    public String architecture() {
        return "DebertaV2";
    }

    @Override
    public String prefix() {
        return "deberta.";
    }

    @Override
    public EncoderConfig read(ConfigKeys keys, String prefix) {
        Fields f = keys.fields();
        boolean relative = f.bool("relative_attention", false);
        if (!relative && f.integer("conv_kernel_size", 0) > 0)
            throw f.bad("conv_kernel_size", "0 or no such key without relative_attention");
        double eps = EncoderFamilies.eps(f, "layer_norm_eps", 1e-7);
        int C = f.integer("hidden_size", 1536);
        int heads = f.integer("num_attention_heads", 24);
        if (f.integer("attention_head_size", C / Math.max(1, heads)) * heads != C)
            throw f.bad("attention_head_size", "hidden_size / num_attention_heads");
        int positions = f.integer("max_position_embeddings", 512);
        int types = f.integer("type_vocab_size", 0);
        int width = f.integer("embedding_size", C);
        String e = prefix + "embeddings.";
        Text text = new Text(f.integer("vocab_size", 128100), width, e + "word_embeddings",
                f.bool("position_biased_input", true) ? e + "position_embeddings" : null, positions, null,
                types > 0 ? e + "token_type_embeddings" : null, types, new Norm(e + "LayerNorm", true, eps),
                width == C ? null : e + "embed_proj", EncoderFamilies.pad(f, 0));
        List<String> kinds = kinds(f);
        boolean byKey = kinds.contains("c2p");
        boolean byQuery = kinds.contains("p2c");
        double scale = 1 / Math.sqrt((double) C / heads * (1 + (byKey ? 1 : 0) + (byQuery ? 1 : 0)));
        Names names = new Names(prefix + "encoder.layer.", null, "attention.self.query_proj", "attention.self.key_proj",
                "attention.self.value_proj", "attention.output.dense", "intermediate.dense", "output.dense",
                "attention.output.LayerNorm", "output.LayerNorm");
        Layers layers = new Layers(names, EncoderFamilies.layers(f, "num_hidden_layers", 24), heads,
                f.integer("intermediate_size", 6144), false, true, true, true, true, true, eps, scale,
                EncoderFamilies.activation(f, "hidden_act", "gelu"), false,
                relative ? relative(f, prefix, names, byKey, byQuery, positions, eps)
                        : new Plain());
        return new EncoderConfig(this, prefix, C, text, layers, null,
                new EncoderConfig.Head(Pooling.MEAN, List.of(), EncoderConfig.Problem.EMBEDDING, C),
                JsonNodeFactory.instance.objectNode());
    }

    /// `pos_att_type`: a list, or names with bars between them.
    private static List<String> kinds(Fields f) {
        List<String> kinds = new ArrayList<>();
        if (f.isSet("pos_att_type"))
            if (f.node("pos_att_type").isArray())
                kinds.addAll(f.texts("pos_att_type"));
            else
                for (String kind : f.text("pos_att_type").toLowerCase(Locale.ROOT).split("\\|"))
                    kinds.add(kind.strip());
        return kinds;
    }

    private static Relative relative(Fields f, String prefix, Names names, boolean byKey, boolean byQuery,
            int positions, double eps) {
        int most = f.integer("max_relative_positions", -1);
        if (most < 1)
            most = positions;
        int buckets = Math.max(0, f.integer("position_buckets", -1));
        boolean shared = f.bool("share_att_key", false);
        boolean normed = List.of(f.text("norm_rel_ebd", "none").toLowerCase(Locale.ROOT).split("\\|"))
                .stream().map(String::strip).anyMatch("layer_norm"::equals);
        return new Relative(prefix + "encoder.rel_embeddings", buckets > 0 ? buckets : most, buckets, most,
                normed ? new Norm(prefix + "encoder.LayerNorm", true, eps) : null, byKey, byQuery,
                shared ? names.k() : "attention.self.pos_key_proj",
                shared ? names.q() : "attention.self.pos_query_proj", convolution(f, prefix, eps));
    }

    private static @Nullable Convolution convolution(Fields f, String prefix, double eps) {
        int width = f.integer("conv_kernel_size", 0);
        if (width <= 0)
            return null;
        if (width % 2 == 0 || width > 99)
            throw f.bad("conv_kernel_size", "an odd number up to 99");
        if (f.integer("conv_groups", 1) != 1)
            throw f.bad("conv_groups", "1");
        return new Convolution(prefix + "encoder.conv.conv", width, EncoderFamilies.activation(f, "conv_act", "tanh"),
                new Norm(prefix + "encoder.conv.LayerNorm", true, eps));
    }

    @Override
    public Pooling pooling(EncoderConfig body) {
        return Pooling.FIRST;
    }

    @Override
    public List<Stage> head(EncoderConfig body, boolean tokens, int outputs) {
        int C = body.hiddenSize();
        Dense classifier = new Dense(new Site("classifier", C, outputs, true));
        return tokens ? List.of(classifier) : List.of(new Dense(new Site("pooler.dense", C, C, true)),
                new Act(EncoderFamilies.activation(new Fields(java.nio.file.Path.of("config.json"), "", body.json()),
                        "pooler_hidden_act", "gelu")),
                classifier);
    }

    @Override
    public Set<String> spellings(String tensor) {
        return Bert.gammaBeta(tensor);
    }
}
