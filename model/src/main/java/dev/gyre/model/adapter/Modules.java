package dev.gyre.model.adapter;

import dev.gyre.kernels.op.HostData;
import java.util.List;

/// The modules of a model that an adapter can sit on.
public interface Modules {
    /// @param path module path, e.g. `model.layers.0.self_attn.q_proj`
    record Info(String path, int in, int out, boolean bias) {
    }

    /// All linear modules in the order of the model, the output head `lm_head` included.
    List<Info> linears();

    /// The token embedding; `in` and `out` are its width.
    Info embedding();

    /// Name of the tensor that holds a module's weight.
    default String weight(Info module) {
        return module.path() + ".weight";
    }

    /// Numbers of a frozen tensor, for methods that start from the weight (PSOFT).
    HostData data(String name);
}
