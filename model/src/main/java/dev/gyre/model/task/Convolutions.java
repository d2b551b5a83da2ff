package dev.gyre.model.task;

import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.PartOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.EncoderConfig.Convolution;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// The convolution beside the first layer in one program: each token's neighbours side by side, in the order of the weight
/// (channel, then place), times the weight's matrix.
final class Convolutions {
    private final Convolution c;
    private final Buffers store;
    private final TaskIo io;
    private final int C;
    private final int N;
    private final LayerNorms norm;
    private @Nullable Buf seen;
    private @Nullable Buf out;
    private @Nullable Buf dX;

    Convolutions(Convolution c, Buffers store, TaskIo io, int C) {
        this.c = c;
        this.store = store;
        this.io = io;
        this.C = C;
        this.N = io.shape().tokens();
        this.norm = new LayerNorms(store, c.norm(), C);
    }

    private @Nullable Buf grad(String part) {
        return store.weightGrad(c.module() + part);
    }

    boolean trains() {
        return grad(".weight") != null || grad(".bias") != null || norm.trains();
    }

    /// Where each column of a token's neighbours lies when they stand place by place; or the other way round.
    private Buf order(boolean back) {
        int[] at = new int[C * c.width()];
        for (int channel = 0; channel < C; channel++)
            for (int k = 0; k < c.width(); k++)
                if (back)
                    at[k * C + channel] = channel * c.width() + k;
                else
                    at[channel * c.width() + k] = k * C + channel;
        return store.constant(c.module() + (back ? " places" : " channels"), at);
    }

    /// @param x input of the first layer (N, C), `y` its output
    /// @return what the second layer reads
    Buf forward(Emitter e, Buf x, Buf y) {
        int W = C * c.width();
        e.scope(c.module());
        Buf zero = e.act("zero", C);
        e.add(new ElementOps.Fill(zero, 0));
        Buf table = e.act("x and zero", N + 1, C);
        e.add(new PartOps.Join(List.of(x, zero), table, 1));
        Buf places = e.act("places", N * c.width(), C);
        e.add(new TokenOps.Embed(io.neighbours(), table, places, N * c.width(), N + 1, C));
        Buf channels = e.act("channels", N, W);
        e.add(new ColumnOps.PermuteColumns(places, order(false), channels, N, W));
        Buf z = e.act("y", N, C);
        e.add(new ProductOps.MatMul(ProductOps.MatMul.Form.NT, channels, store.weight(c.module() + ".weight"), z, N, C,
                W,
                1, false));
        e.add(new ColumnOps.AddBias(z, store.weight(c.module() + ".bias"), N, C));
        Buf a = e.act("activated", N, C);
        e.add(new ActivationOps.Activate(c.f(), z, a));
        Buf sum = e.act("sum", N, C);
        e.add(new ElementOps.Add(y, a, sum));
        seen = channels;
        out = z;
        return norm.forward(e, sum, N);
    }

    /// @param g gradient of what [#forward] gave
    /// @param input whether the gradient of the first layer's input is needed, for [#inputBackward]
    /// @return gradient of the first layer's output
    Buf backward(Emitter e, Buf g, boolean input) {
        Buf dSum = e.act("d sum", N, C);
        norm.backward(e, g, dSum, N, false);
        if (!input && grad(".weight") == null && grad(".bias") == null)
            return dSum;
        int W = C * c.width();
        Buf z = Objects.requireNonNull(out);
        e.scope(c.module());
        Buf dZ = e.act("d y", N, C);
        e.add(new ActivationOps.ActivateGrad(c.f(), z, dSum, dZ));
        Buf dBias = grad(".bias");
        if (dBias != null)
            e.add(new ColumnOps.BiasGrad(dZ, dBias, N, C));
        Buf dWeight = grad(".weight");
        if (dWeight != null)
            e.add(new ProductOps.MatMul(ProductOps.MatMul.Form.TN, dZ, Objects.requireNonNull(seen), dWeight, C, W, N,
                    1,
                    true));
        if (!input)
            return dSum;
        Buf dChannels = e.act("d channels", N, W);
        e.add(new ProductOps.MatMul(ProductOps.MatMul.Form.NN, dZ, store.weight(c.module() + ".weight"), dChannels, N,
                W,
                C, 1, false));
        Buf dPlaces = e.act("d places", N * c.width(), C);
        e.add(new ColumnOps.PermuteColumns(dChannels, order(true), dPlaces, N, W));
        Buf dTable = e.act("d x and zero", N + 1, C);
        e.add(new ElementOps.Fill(dTable, 0));
        e.add(new TokenOps.EmbedGrad(io.neighbours(), dPlaces, dTable, N * c.width(), N + 1, C));
        Buf d = e.act("d x", N, C);
        e.add(new PartOps.Split(dTable, List.of(d, e.act("d zero", C)), 1));
        dX = d;
        return dSum;
    }

    /// Adds to the gradient of the first layer's input what [#backward] found.
    void inputBackward(Emitter e, Buf dInput) {
        e.scope(c.module());
        e.add(new ElementOps.Axpy(1, Objects.requireNonNull(dX), dInput));
    }
}
