package dev.gyre.model.adapter;

import dev.gyre.kernels.op.Buf;
import dev.gyre.model.emit.Emitter;
import org.jspecify.annotations.Nullable;

/// A rotation of looked-up embedding rows, `y = x R` (OFT on `embed_tokens`), while it is emitted into one program.
public final class EmbeddingRotation {
    private final Rotation rotation;

    public EmbeddingRotation(Rotation rotation) {
        this.rotation = rotation;
    }

    public void forward(Emitter e, Buf x, Buf y, int N) {
        rotation.prepare(e);
        rotation.apply(e, x, y, N);
    }

    public void backward(Emitter e, Buf x, Buf dY, @Nullable Buf dX, int N) {
        rotation.backward(e, x, dY, dX, false, N);
    }
}
