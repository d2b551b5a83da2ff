package dev.gyre.model.adapter;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Linear;
import dev.gyre.model.emit.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One adapter's state on one module.
public interface AdapterLayer {
    /// Module path in the model, e.g. `model.layers.0.self_attn.q_proj`.
    String module();

    /// Trainable tensors, named as PEFT names them below the module: `module.oft_R.weight`.
    List<Tensor> tensors();

    /// The tensors as a PEFT file holds them: those of [#tensors], with other values where PEFT has no map like ours.
    default List<Tensor> portable() {
        return tensors();
    }

    /// Frozen tensors that are stored with it in a file of their own, named `module.name` ([LayerSource#frozen]).
    default List<Tensor> frozen() {
        return List.of();
    }

    /// The adapter around `inner` for one program.
    Linear wrap(Buffers store, Linear inner);

    /// The adapter on the rows of the token embedding for one program, for methods that have such a form
    /// ([Method#adaptsEmbedding]).
    default EmbeddingRotation onEmbedding(Buffers store) {
        throw new UnsupportedOperationException(module() + ": this method does not adapt embeddings");
    }

    /// Angle and orthogonality error of its rotation, from the tensors as they are on the host; null for methods that
    /// rotate nothing or cannot leave orthogonality.
    default @Nullable Geometry geometry() {
        return null;
    }

    /// Takes itself out of a weight that it was merged into: `w` holds W' (rows, in) and becomes W, in double.
    ///
    /// @param embedding whether w is the embedding, whose rows were rotated (`E' = E R`), not a linear layer's weight
    /// @return how much a rounding error of W' may have grown in W, at least 1
    /// @throws InputException when that would divide by almost nothing
    double unmerge(double[] w, int rows, boolean embedding, Backend backend);

    /// Emits a penalty on this module's parameters into the update; most methods have none.
    default void regularise(Emitter e, Buffers store) {
    }

    /// A vector that it adds to each row of the output, scaled; [AdaptedLinear] emits it.
    default @Nullable OutputBias outputBias() {
        return null;
    }

    /// The frozen weight (out, in), row-major, that it works over where that is not the model's own.
    default float @Nullable [] ownBase() {
        return null;
    }

    /// @param values (out)
    record OutputBias(Tensor values, double scale) {
    }

    /// Its update of the weight as a product of two thin matrices, `W' = W + B A`, where it is exactly one.
    default @Nullable LowRank lowRank(Backend backend) {
        return null;
    }

    /// @param a (r, in)
    /// @param b (out, r)
    record LowRank(int r, float[] a, float[] b) {
    }
}
