package dev.gyre.model.weights;

import dev.gyre.kernels.op.HostData;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// The modules of a model that an adapter can sit on, and their weights.
public interface Sites {
    /// All linear modules in the order of the model, the output head `lm_head` included.
    List<Site> linears();

    /// The token embedding; `in` and `out` are its width.
    Site embedding();

    /// The modules that an adapter can sit on, in the order of the model.
    default List<Site> adaptable() {
        List<Site> all = new ArrayList<>();
        all.add(embedding());
        all.addAll(linears());
        return all;
    }

    /// PEFT's word for what the model does (`task_type`).
    default String taskType() {
        return "CAUSAL_LM";
    }

    /// Name of the tensor that holds a module's weight: for a tied output head the embedding's.
    default String weight(Site site) {
        return site.weight();
    }

    /// Shapes, by name, of the weights that belong to no linear module: the token embedding's and the norms'.
    default Map<String, int[]> others() {
        return Map.of();
    }

    /// A frozen tensor by name, for methods that start from the weight (PSOFT).
    HostData data(String name);
}
