package dev.gyre.model.emit;

import dev.gyre.kernels.op.Buf;
import org.jspecify.annotations.Nullable;

/// A linear map of rows while it is emitted into one program: the frozen base, or an adapter around another `Linear`.
/// An object belongs to one program: between forward and backward it remembers its buffers.
public interface Linear {
    /// Emits `y = this(x)`: x (N, in), y (N, out), y overwritten.
    void forward(Emitter e, Buf x, Buf y, int N);

    /// Emits the backward pass: gradients of the trainable tensors are added to, `dX (+)= ...` unless null.
    /// `x` holds the values that forward saw; it is read only when [#needsInput].
    ///
    /// @param dY gradient of y (N, out), not changed
    /// @param dX where the gradient of x goes, or null when it is not needed
    void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N);

    /// Whether backward reads x, so that the caller keeps or recomputes it.
    boolean needsInput();

    /// Whether anything in it is trained.
    boolean trains();
}
