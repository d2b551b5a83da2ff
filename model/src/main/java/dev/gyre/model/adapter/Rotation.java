package dev.gyre.model.adapter;

import dev.gyre.kernels.op.Buf;
import dev.gyre.model.emit.Emitter;
import org.jspecify.annotations.Nullable;

/// A linear map of rows from the features of one module to themselves, `y = x M`, while it is emitted into one program:
/// what OFT, GOFT, BOFT and HRA apply to the input of a frozen weight (or to the rows of an embedding).
public interface Rotation {
    /// Emits what turns parameters into the map, once before the first [#apply].
    void prepare(Emitter e);

    /// Emits `y = x M`: x, y (N, features), y overwritten.
    void apply(Emitter e, Buf x, Buf y, int N);

    /// Emits gradients: adds those of the parameters, and `dX (+)= dY M^T` unless dX is null.
    void backward(Emitter e, Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N);
}
