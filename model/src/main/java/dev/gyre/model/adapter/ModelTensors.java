package dev.gyre.model.adapter;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import dev.gyre.model.weights.Storage;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/// Model weights that are trained whole with an adapter: biases, and the modules that are to be saved.
final class ModelTensors {
    /// Makes one of them from the model's own values, or reads it.
    ///
    /// As in transformers, whatever trains them, biases and norms, the vectors of a model, do not decay; matrices do.
    interface Source {
        Tensor tensor(String name, Supplier<float[]> values, boolean decay, int... dims);
    }

    private ModelTensors() {
    }

    static List<Tensor> of(Targets targets, List<Site> adapted, Sites model, Source source) {
        List<Tensor> out = new ArrayList<>();
        for (Site site : model.linears()) {
            boolean saved = targets.saves(site.path());
            if (saved && site.bias() || targets.trainsBias(site, adapted.contains(site)))
                out.add(copy(site.path() + ".bias", site.path() + ".bias", model, source, site.out()));
            if (saved && !(targets.tied() && tiesHead(model) && site.path().equals(ModelConfig.HEAD)))
                out.add(copy(site.path() + ".weight", model.weight(site), model, source, site.out(), site.in()));
        }
        model.others().forEach((name, dims) -> {
            if (targets.saves(name.substring(0, name.lastIndexOf('.')))) {
                boolean apart = name.startsWith(ModelConfig.EMBEDDING + ".") && tiesHead(model) && !targets.tied();
                out.add(copy(apart ? ModelConfig.EMBEDDING_APART : name, name, model, source, dims));
            }
        });
        return out;
    }

    /// Whether the output head is the embedding (`tie_word_embeddings`).
    static boolean tiesHead(Sites model) {
        return model.linears().stream().anyMatch(i -> !model.weight(i).equals(i.weight()));
    }

    private static Tensor copy(String name, String from, Sites model, Source source, int... dims) {
        return source.tensor(name, () -> {
            HostData data = model.data(from);
            Storage.requireExact(from, data);
            return data.floats();
        }, dims.length == 2, dims);
    }
}
