package dev.gyre.model.adapter.lora;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.Fragment;
import dev.gyre.model.adapter.InputDropout;
import dev.gyre.model.adapter.Unmerge;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Linear;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// LoRA on one module: `y = x W^T + s drop(x) A^T B^T`, merged weight `W + s B A`.
///
/// | name | shape | init |
/// |---|---|---|
/// | A | (r, in) | uniform in +-1/sqrt(in) |
/// | B | (out, r) | 0 |
/// | bias | (out) | 0; only with `lora_bias`, which adds `s bias` to y |
///
/// Backward with `z = drop(x) A^T`, `h = s dY B`: `dA = h^T drop(x)`, `dB = s dY^T z`, `dX = dY W + drop'(h A)`.
final class LoraLayer implements AdapterLayer {
    private final Site site;
    private final Tensor a;
    private final Tensor b;
    private final @Nullable Tensor bias;
    private final float @Nullable [] base;
    private final int r;
    private final double scale;
    private final double dropout;

    LoraLayer(Site site, Tensor a, Tensor b, double scale, double dropout) {
        this(site, a, b, null, null, scale, dropout);
    }

    LoraLayer(Site site, Tensor a, Tensor b, @Nullable Tensor bias, float @Nullable [] base, double scale,
            double dropout) {
        this.bias = bias;
        this.base = base;
        this.site = site;
        this.a = a;
        this.b = b;
        this.r = a.dims()[0];
        this.scale = scale;
        this.dropout = dropout;
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> tensors() {
        return bias == null ? List.of(a, b) : List.of(a, b, bias);
    }

    @Override
    public @Nullable OutputBias outputBias() {
        return bias == null ? null : new OutputBias(bias, scale);
    }

    /// `A` and `s B`; a bias of the output and a base of its own have no place in it.
    @Override
    public @Nullable LowRank lowRank(Backend backend) {
        if (bias != null || base != null)
            return null;
        float[] scaled = b.values().clone();
        for (int i = 0; i < scaled.length; i++)
            scaled[i] = (float) (scale * scaled[i]);
        return new LowRank(r, a.values().clone(), scaled);
    }

    @Override
    public float @Nullable [] ownBase() {
        return base;
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        return new LowRankLinear(store, inner);
    }

    /// `W = W' - s B A`.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        Unmerge.subtract(w, Fragment.run(backend, tensors(), (e, store) -> {
            Buf delta = e.act("delta", site.out(), site.in());
            e.add(new ProductOps.MatMul(Form.NN, store.param(b), store.param(a), delta, site.out(), site.in(), r, scale,
                    false));
            return delta;
        }));
        return 1;
    }

    private final class LowRankLinear implements Linear {
        private final Buffers store;
        private final Linear inner;
        private final InputDropout drop;
        private @Nullable Buf z;

        LowRankLinear(Buffers store, Linear inner) {
            this.store = store;
            this.inner = inner;
            this.drop = new InputDropout(dropout, site);
        }

        @Override
        public void forward(Emitter e, Buf x, Buf y, int N) {
            Buf dropped = drop.forward(e, x, N);
            Buf zz = e.act("z", N, r);
            e.add(new ProductOps.MatMul(Form.NT, dropped, store.param(a), zz, N, r, site.in(), 1f, false));
            // next to each other, so that a backend can compute the sum of both
            inner.forward(e, x, y, N);
            e.add(new ProductOps.MatMul(Form.NT, zz, store.param(b), y, N, site.out(), r, scale, true));
            z = zz;
        }

        @Override
        public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
            Objects.requireNonNull(x);
            Buf h = e.act("h", N, r);
            e.add(new ProductOps.MatMul(Form.NN, dY, store.param(b), h, N, r, site.out(), scale, false));
            e.add(new ProductOps.MatMul(Form.TN, dY, Objects.requireNonNull(z), store.grad(b), site.out(), r, N, scale,
                    true));
            e.add(new ProductOps.MatMul(Form.TN, h, drop.forward(e, x, N), store.grad(a), r, site.in(), N, 1f, true));
            inner.backward(e, x, dY, dX, accumulate, N);
            if (dX != null)
                drop.backward(e, h, store.param(a), dX, N, r);
        }

        @Override
        public boolean needsInput() {
            return true;
        }

        @Override
        public boolean trains() {
            return true;
        }
    }
}
