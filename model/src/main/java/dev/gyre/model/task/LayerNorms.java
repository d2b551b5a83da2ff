package dev.gyre.model.task;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.LayerNormOps;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.EncoderConfig.Norm;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// A layer normalisation in one program; between forward and backward it remembers its buffers.
final class LayerNorms {
    private final Buffers store;
    private final Norm norm;
    private final int C;
    private @Nullable Buf x;
    private @Nullable Buf mean;
    private @Nullable Buf rstd;

    LayerNorms(Buffers store, Norm norm, int C) {
        this.store = store;
        this.norm = norm;
        this.C = C;
    }

    boolean trains() {
        return store.weightGrad(norm.path() + ".weight") != null
                || norm.bias() && store.weightGrad(norm.path() + ".bias") != null;
    }

    Buf forward(Emitter e, Buf in, int N) {
        e.scope(norm.path());
        Buf y = e.act("y", N, C);
        Buf m = e.act("mean", N);
        Buf r = e.act("rstd", N);
        e.add(new LayerNormOps.LayerNorm(in, store.weight(norm.path() + ".weight"),
                norm.bias() ? store.weight(norm.path() + ".bias") : null, y, m, r, N, C, norm.eps()));
        x = in;
        mean = m;
        rstd = r;
        return y;
    }

    /// Gradients of weight and bias where they are trained, and `dX (+)= ...` unless null.
    void backward(Emitter e, Buf dY, @Nullable Buf dX, int N, boolean accumulate) {
        e.scope(norm.path());
        Buf in = Objects.requireNonNull(x, "backward is emitted after forward");
        Buf m = Objects.requireNonNull(mean);
        Buf r = Objects.requireNonNull(rstd);
        Buf dW = store.weightGrad(norm.path() + ".weight");
        Buf dB = norm.bias() ? store.weightGrad(norm.path() + ".bias") : null;
        if (dW != null)
            e.add(new LayerNormOps.LayerNormWeightGrad(in, m, r, dY, dW, N, C));
        if (dB != null)
            e.add(new ColumnOps.BiasGrad(dY, dB, N, C));
        if (dX != null)
            e.add(new LayerNormOps.LayerNormGrad(in, store.weight(norm.path() + ".weight"), m, r, dY, dX, N, C,
                    accumulate));
    }
}
