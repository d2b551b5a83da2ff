package dev.gyre.model.family;

import dev.gyre.kernels.op.Activation;
import dev.gyre.model.family.EncoderConfig.Act;
import dev.gyre.model.family.EncoderConfig.Dense;
import dev.gyre.model.family.EncoderConfig.Layers;
import dev.gyre.model.family.EncoderConfig.Names;
import dev.gyre.model.family.EncoderConfig.Norm;
import dev.gyre.model.family.EncoderConfig.Plain;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Stage;
import dev.gyre.model.family.EncoderConfig.Text;
import dev.gyre.model.files.Fields;
import dev.gyre.model.weights.Site;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.JsonNodeFactory;

/// BERT: norms after the sums, learned positions and token types, a pooler before the classifier.
public record Bert() implements EncoderFamily {
    @Override
    public String modelType() {
        return "bert";
    }

    @Override
    public String architecture() {
        return "Bert";
    }

    @Override
    public String prefix() {
        return "bert.";
    }

    @Override
    public EncoderConfig read(ConfigKeys keys, String prefix) {
        return body(this, keys.fields(), prefix, 30522, 512, 0, false);
    }

    /// @param counted whether positions are counted from the padding's id
    static EncoderConfig body(EncoderFamily family, Fields f, String prefix, int vocab, int positions, int pad,
            boolean counted) {
        String kind = f.text("position_embedding_type", "absolute");
        if (!kind.equals("absolute"))
            throw f.bad("position_embedding_type", "\"absolute\"");
        if (f.bool("is_decoder", false))
            throw f.bad("is_decoder", "false; Gyre reads it as an encoder");
        double eps = EncoderFamilies.eps(f, "layer_norm_eps", 1e-12);
        int C = f.integer("hidden_size", 768);
        int heads = f.integer("num_attention_heads", 12);
        Integer padding = EncoderFamilies.pad(f, pad);
        String e = prefix + "embeddings.";
        Names names = new Names(prefix + "encoder.layer.", null, "attention.self.query", "attention.self.key",
                "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense",
                "attention.output.LayerNorm", "output.LayerNorm");
        Text text = new Text(f.integer("vocab_size", vocab), C, e + "word_embeddings", e + "position_embeddings",
                f.integer("max_position_embeddings", positions), counted ? from(padding) : null,
                e + "token_type_embeddings", f.integer("type_vocab_size", 2), new Norm(e + "LayerNorm", true, eps),
                null, padding);
        Layers layers = new Layers(names, EncoderFamilies.layers(f, "num_hidden_layers", 12), heads,
                f.integer("intermediate_size", 3072), false, true, true, true, true, true, eps,
                1 / Math.sqrt((double) C / heads), EncoderFamilies.activation(f, "hidden_act", "gelu"), false,
                new Plain());
        return new EncoderConfig(family, prefix, C, text, layers, null,
                new EncoderConfig.Head(Pooling.MEAN, List.of(), EncoderConfig.Problem.EMBEDDING, C),
                JsonNodeFactory.instance.objectNode());
    }

    private static int from(@Nullable Integer padding) {
        if (padding == null)
            throw new IllegalArgumentException("pad_token_id is null; positions are counted from it");
        return padding;
    }

    @Override
    public Pooling pooling(EncoderConfig body) {
        return Pooling.FIRST;
    }

    @Override
    public List<Stage> head(EncoderConfig body, boolean tokens, int outputs) {
        int C = body.hiddenSize();
        Dense classifier = new Dense(new Site("classifier", C, outputs, true));
        return tokens ? List.of(classifier)
                : List.of(new Dense(new Site(body.prefix() + "pooler.dense", C, C, true)), new Act(Activation.TANH),
                        classifier);
    }

    @Override
    public Set<String> spellings(String tensor) {
        return gammaBeta(tensor);
    }

    /// TensorFlow's names of a norm's weight and bias.
    static Set<String> gammaBeta(String tensor) {
        return tensor.contains("LayerNorm.")
                ? Set.of(tensor.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias",
                        "LayerNorm.beta"))
                : Set.of();
    }
}
