package dev.gyre.model.adapter;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.model.emit.BaseLinear;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Linear;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// One linear module of the model in one program: base weight, the adapters on it, and its bias; the only place where
/// they meet. Adapters nest: the first one of the list is the outermost, `y = a0(a1(... base ...))(x) + bias`, so two
/// OFT adapters give `x R_0 R_1 W^T`, as PEFT's forward does.
public final class AdaptedLinear implements Linear {
    private final Linear chain;
    private final @Nullable Buf bias;
    private final @Nullable Buf dBias;
    private final int out;
    private final Buffers store;
    private final List<AdapterLayer.OutputBias> added;

    /// @param path module path, e.g. `model.layers.0.self_attn.q_proj`
    /// @param hasBias whether the model has `path.bias`
    public AdaptedLinear(Buffers store, String path, int in, int out, boolean hasBias, List<AdapterLayer> adapters) {
        this(store, path, path + ".weight", in, out, hasBias, adapters);
    }

    /// @param weight name of the weight where it is not `path.weight` (tied output heads)
    public AdaptedLinear(Buffers store, String path, String weight, int in, int out, boolean hasBias,
            List<AdapterLayer> adapters) {
        Linear l = new BaseLinear(store, weight, in, out);
        for (int i = adapters.size() - 1; i >= 0; i--)
            l = adapters.get(i).wrap(store, l);
        this.chain = l;
        this.store = store;
        this.added = adapters.stream().map(AdapterLayer::outputBias).filter(Objects::nonNull).toList();
        this.out = out;
        this.bias = hasBias ? store.weight(path + ".bias") : null;
        this.dBias = hasBias ? store.weightGrad(path + ".bias") : null;
    }

    @Override
    public void forward(Emitter e, Buf x, Buf y, int N) {
        chain.forward(e, x, y, N);
        if (bias != null)
            e.add(new ColumnOps.AddBias(y, bias, N, out));
        for (AdapterLayer.OutputBias b : added) {
            Buf scaled = e.act("scaled bias", out);
            e.add(new ElementOps.Fill(scaled, 0));
            e.add(new ElementOps.Axpy(b.scale(), store.param(b.values()), scaled));
            e.add(new ColumnOps.AddBias(y, scaled, N, out));
        }
    }

    /// The product alone, without any bias.
    public void product(Emitter e, Buf x, Buf y, int N) {
        chain.forward(e, x, y, N);
    }

    @Override
    public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
        if (dBias != null)
            e.add(new ColumnOps.BiasGrad(dY, dBias, N, out));
        for (AdapterLayer.OutputBias b : added) {
            Buf sum = e.act("sum of dY", out);
            e.add(new ElementOps.Fill(sum, 0));
            e.add(new ColumnOps.BiasGrad(dY, sum, N, out));
            e.add(new ElementOps.Axpy(b.scale(), sum, store.grad(b.values())));
        }
        chain.backward(e, x, dY, dX, accumulate, N);
    }

    @Override
    public boolean needsInput() {
        return chain.needsInput();
    }

    @Override
    public boolean trains() {
        return dBias != null || chain.trains();
    }
}
