package dev.gyre.model.adapter;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.emit.Tensor;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Where the tensors of one layer come from: fresh, by the method's initialisation; read from a PEFT directory; or planned
/// only, with shapes and no values. Methods name them as PEFT does below the module, `lora_A.weight`.
public interface LayerSource {
    /// A trainable tensor.
    ///
    /// @param init gives the values of a fresh one; elements are asked for in order
    Tensor tensor(String name, Init init, int... dims);

    /// A frozen tensor that is stored with the adapter, row-major.
    ///
    /// @param values computes a fresh one; not called when it is read or only planned
    float[] frozen(String name, Supplier<float[]> values, int... dims);

    /// The module's weight (out, in) as the model holds it.
    HostData weight();

    /// The model's weights as its files have them; null when they are not at hand.
    default @Nullable BaseWeights base() {
        return null;
    }

    /// Number of modules that the adapter is on.
    int modules();

    /// Whether the module is the token embedding.
    boolean embedding();

    /// A draw from the standard normal distribution, for initial values; 0 where none are made.
    default double normal() {
        return 0;
    }

    /// A draw from the uniform distribution over 0 .. 1, for initial values; 0 where none are made.
    default double uniform() {
        return 0;
    }

    /// Initial value of element `i`.
    @FunctionalInterface
    interface Init {
        double at(int i);
    }
}
