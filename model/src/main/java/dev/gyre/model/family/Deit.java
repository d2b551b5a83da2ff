package dev.gyre.model.family;

import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Stage;
import java.util.List;
import java.util.Set;

/// DeiT: a vision transformer with a second token in front of the patches.
public record Deit() implements EncoderFamily {
    @Override
    public String modelType() {
        return "deit";
    }

    @Override
    public String architecture() {
        return "DeiT";
    }

    @Override
    public String prefix() {
        return "deit.";
    }

    @Override
    public EncoderConfig read(ConfigKeys keys, String prefix) {
        return Vit.body(this, keys.fields(), prefix,
                List.of(prefix + "embeddings.cls_token", prefix + "embeddings.distillation_token"));
    }

    @Override
    public Pooling pooling(EncoderConfig body) {
        return Pooling.FIRST;
    }

    @Override
    public List<Stage> head(EncoderConfig body, boolean tokens, int outputs) {
        return new Vit().head(body, tokens, outputs);
    }

    @Override
    public Set<String> spellings(String tensor) {
        return new Vit().spellings(tensor);
    }
}
