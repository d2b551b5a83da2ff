package dev.gyre.model.task;

import dev.gyre.kernels.op.Buf;
import dev.gyre.model.emit.Emitter;

/// What a head sits on, while it is emitted into one program.
interface Body {
    /// Emits it; returns its rows (N, C).
    Buf forward(Emitter e);

    /// Emits gradients, as far down as something is trained.
    ///
    /// @param g gradient of the rows (N, C); it is overwritten
    void backward(Emitter e, Buf g);

    /// Whether anything in it is trained.
    boolean trains();
}
