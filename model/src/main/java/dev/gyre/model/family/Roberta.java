package dev.gyre.model.family;

import dev.gyre.kernels.op.Activation;
import dev.gyre.model.family.EncoderConfig.Act;
import dev.gyre.model.family.EncoderConfig.Dense;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Stage;
import dev.gyre.model.weights.Site;
import java.util.List;
import java.util.Set;

/// RoBERTa: BERT with positions counted from the padding's id and a head of two layers.
public record Roberta() implements EncoderFamily {
    @Override
    public String modelType() {
        return "roberta";
    }

    @Override
    public String architecture() {
        return "Roberta";
    }

    @Override
    public String prefix() {
        return "roberta.";
    }

    @Override
    public EncoderConfig read(ConfigKeys keys, String prefix) {
        return Bert.body(this, keys.fields(), prefix, 50265, 512, 1, true);
    }

    @Override
    public Pooling pooling(EncoderConfig body) {
        return Pooling.FIRST;
    }

    @Override
    public List<Stage> head(EncoderConfig body, boolean tokens, int outputs) {
        int C = body.hiddenSize();
        return tokens ? List.of(new Dense(new Site("classifier", C, outputs, true)))
                : List.of(new Dense(new Site("classifier.dense", C, C, true)), new Act(Activation.TANH),
                        new Dense(new Site("classifier.out_proj", C, outputs, true)));
    }

    @Override
    public Set<String> spellings(String tensor) {
        return Bert.gammaBeta(tensor);
    }
}
