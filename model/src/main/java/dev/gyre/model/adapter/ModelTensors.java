package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.ArrayList;
import java.util.List;

/// Model weights that are trained whole with an adapter: biases, and the modules that are to be saved.
final class ModelTensors {
    /// Makes one of them from the model's own values, or reads it.
    ///
    /// As in transformers, whatever trains them, biases and norms, the vectors of a model, do not decay; matrices do.
    interface Source {
        Tensor tensor(String name, float[] values, boolean decay, int... dims);
    }

    private ModelTensors() {
    }

    static List<Tensor> of(Targets targets, List<Site> adapted, Sites model, Source source) {
        List<Tensor> out = new ArrayList<>();
        for (Site site : model.linears()) {
            boolean saved = targets.saves(site);
            if (saved && site.bias() || targets.trainsBias(site, adapted.contains(site)))
                out.add(copy(site.path() + ".bias", model, source, site.out()));
            if (saved && !model.weight(site).equals(site.path() + ".weight"))
                throw new InputException(site.path() + ": modules_to_save trains it apart from the embedding,"
                        + " to which the model ties it (tie_word_embeddings); fold the adapter in with PEFT"
                        + " (merge_and_unload) and take that model, or leave the module out");
            if (saved)
                out.add(copy(site.path() + ".weight", model, source, site.out(), site.in()));
        }
        return out;
    }

    private static Tensor copy(String name, Sites model, Source source, int... dims) {
        if (!(model.data(name) instanceof HostData.F32 f))
            throw new InputException(name + ": a weight trained whole must be loaded in 32 bits");
        return source.tensor(name, f.values, dims.length == 2, dims);
    }
}
