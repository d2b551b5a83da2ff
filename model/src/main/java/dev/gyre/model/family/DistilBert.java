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
import tools.jackson.databind.node.JsonNodeFactory;

/// DistilBERT: BERT without token types and pooler, other names.
public record DistilBert() implements EncoderFamily {
    private static final double EPS = 1e-12;

    @Override
    public String modelType() {
        return "distilbert";
    }

    @Override
    public String architecture() {
        return "DistilBert";
    }

    @Override
    public String prefix() {
        return "distilbert.";
    }

    @Override
    public EncoderConfig read(ConfigKeys keys, String prefix) {
        Fields f = keys.fields();
        int C = f.integer("dim", 768);
        int heads = f.integer("n_heads", 12);
        String e = prefix + "embeddings.";
        Text text = new Text(f.integer("vocab_size", 30522), C, e + "word_embeddings", e + "position_embeddings",
                f.integer("max_position_embeddings", 512), null, null, 0, new Norm(e + "LayerNorm", true, EPS), null,
                EncoderFamilies.pad(f, 0));
        Names names = new Names(prefix + "transformer.layer.", null, "attention.q_lin", "attention.k_lin",
                "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2", "sa_layer_norm",
                "output_layer_norm");
        Layers layers = new Layers(names, EncoderFamilies.layers(f, "n_layers", 6), heads,
                f.integer("hidden_dim", 3072), false, true, true, true, true, true, EPS,
                1 / Math.sqrt((double) C / heads), EncoderFamilies.activation(f, "activation", "gelu"), false,
                new Plain());
        return new EncoderConfig(this, prefix, C, text, layers, null,
                new EncoderConfig.Head(Pooling.MEAN, List.of(), EncoderConfig.Problem.EMBEDDING, C),
                JsonNodeFactory.instance.objectNode());
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
                : List.of(new Dense(new Site("pre_classifier", C, C, true)), new Act(Activation.RELU), classifier);
    }

    @Override
    public Set<String> spellings(String tensor) {
        return Bert.gammaBeta(tensor);
    }
}
