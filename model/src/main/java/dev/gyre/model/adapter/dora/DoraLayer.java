package dev.gyre.model.adapter.dora;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.BaseLinear;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Linear;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// DoRA on one module: with `u = x W^T + s x A^T B^T` and `norm` the lengths of the rows of `V = W + s B A`,
/// `y = (m / norm) * u + bias`, by columns; merged weight `(m / norm) * V`, by rows.
///
/// | name | shape | init |
/// |---|---|---|
/// | A, B | (r, in), (out, r) | LoRA's |
/// | m | (out) | norm |
///
/// The norm is made anew in every program run, and is a constant of the backward pass (paper, section 4.3):
/// `dm = sum over tokens of dY * u / norm`; A, B and x get LoRA's gradients for `dU = dY * m / norm`.
///
/// Dropout acts on the whole of u, base product included, but only where c = m / norm differs from 1:
/// `y = x W^T + (c - 1) * (x' W^T) + c * s x' A^T B^T` with `x' = drop(x)`, computed as `(x - x') W^T + c * u(x')`.
final class DoraLayer implements AdapterLayer {
    private final Site site;
    private final AdapterLayer lora;
    private final Tensor a;
    private final Tensor b;
    private final Tensor magnitude;
    private final double scale;
    private final double dropout;

    /// @param lora on the same module, without dropout
    DoraLayer(Site site, AdapterLayer lora, Tensor a, Tensor b, Tensor magnitude, double scale, double dropout) {
        this.site = site;
        this.lora = lora;
        this.a = a;
        this.b = b;
        this.magnitude = magnitude;
        this.scale = scale;
        this.dropout = dropout;
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> tensors() {
        List<Tensor> out = new ArrayList<>(lora.tensors());
        out.add(magnitude);
        return out;
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        return new Scaled(store, inner);
    }

    /// A row of W' is m times a unit vector: the length that it had is not in it.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        throw new InputException(site.path() + ": a merged dora weight does not hold the lengths of its rows,"
                + " so the weight before merging cannot be found in it; take it from the base model");
    }

    private final class Scaled implements Linear {
        private final Buffers store;
        private final Linear inner;
        private final Linear directed;
        private final Buf base;
        private final int n = site.out();
        private final int d = site.in();
        private @Nullable Buf u;
        private @Nullable Buf inverse;
        private @Nullable Buf factor;

        Scaled(Buffers store, Linear inner) {
            this.store = store;
            this.inner = inner;
            this.directed = lora.wrap(store, inner);
            this.base = inner instanceof BaseLinear own ? own.weight() : store.weight(site.weight());
        }

        private boolean drops(Emitter e) {
            if (!(dropout > 0 && e.drops()))
                return false;
            if (!(inner instanceof BaseLinear))
                throw new InputException(site.path() + ": dora with dropout runs the weight twice and cannot"
                        + " wrap another adapter; attach it last, or without dropout");
            return true;
        }

        /// Emits 1 / norm and m / norm.
        private void norms(Emitter e) {
            Buf v = e.act("V", n, d);
            e.add(base.dtype() == DType.F32 ? new ElementOps.Copy(base, v) : new ProductOps.Decode(base, v));
            e.add(new ProductOps.MatMul(Form.NN, store.param(b), store.param(a), v, n, d, a.dims()[0], scale, true));
            // its rows divided by their root mean square, of which only the divisors are wanted
            Buf unit = e.act("V normalised", n, d);
            Buf ones = e.act("ones", d);
            e.add(new ElementOps.Fill(ones, 1));
            Buf rstd = e.act("1 / rms", n);
            e.add(new NormOps.RmsNorm(v, ones, unit, rstd, n, d, 0));
            Buf k = e.act("1 / norm", n);
            e.add(new ElementOps.Fill(k, 0));
            e.add(new ElementOps.Axpy(1 / Math.sqrt(d), rstd, k));
            Buf c = e.act("m / norm", n);
            e.add(new ColumnOps.ScaleColumns(store.param(magnitude), k, c, 1, n));
            inverse = k;
            factor = c;
        }

        private Buf dropped(Emitter e, Buf x, int N) {
            Buf y = e.act("dropped", N, d);
            e.add(new ElementOps.Dropout(x, store.dropoutSeed(), y, site.path().hashCode(), dropout, false));
            return y;
        }

        private Buf difference(Emitter e, Buf x, Buf y, int N) {
            Buf out = e.act("difference", N, d);
            e.add(new ElementOps.Copy(x, out));
            e.add(new ElementOps.Axpy(-1, y, out));
            return out;
        }

        @Override
        public void forward(Emitter e, Buf x, Buf y, int N) {
            norms(e);
            Buf c = Objects.requireNonNull(factor);
            Buf raw = e.act("u", N, n);
            u = raw;
            if (!drops(e)) {
                directed.forward(e, x, raw, N);
                e.add(new ColumnOps.ScaleColumns(raw, c, y, N, n));
                return;
            }
            Buf kept = dropped(e, x, N);
            directed.forward(e, kept, raw, N);
            inner.forward(e, difference(e, x, kept, N), y, N);
            Buf scaled = e.act("scaled", N, n);
            e.add(new ColumnOps.ScaleColumns(raw, c, scaled, N, n));
            e.add(new ElementOps.Axpy(1, scaled, y));
        }

        @Override
        public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
            Objects.requireNonNull(x);
            Buf v = e.act("u / norm", N, n);
            e.add(new ColumnOps.ScaleColumns(Objects.requireNonNull(u), Objects.requireNonNull(inverse), v, N, n));
            e.add(new ColumnOps.ColumnDot(v, dY, store.grad(magnitude), N, n));
            Buf dU = e.act("d u", N, n);
            e.add(new ColumnOps.ScaleColumns(dY, Objects.requireNonNull(factor), dU, N, n));
            if (!drops(e)) {
                directed.backward(e, x, dU, dX, accumulate, N);
                return;
            }
            Buf kept = dropped(e, x, N);
            if (dX == null) {
                directed.backward(e, kept, dU, null, false, N);
                inner.backward(e, difference(e, x, kept, N), dY, null, false, N);
                return;
            }
            // dX = dY W + drop'(dU (W + s B A) - dY W)
            Buf dKept = e.act("d dropped", N, d);
            directed.backward(e, kept, dU, dKept, false, N);
            Buf dBase = e.act("d base", N, d);
            inner.backward(e, difference(e, x, kept, N), dY, dBase, false, N);
            e.add(accumulate ? new ElementOps.Axpy(1, dBase, dX) : new ElementOps.Copy(dBase, dX));
            e.add(new ElementOps.Dropout(difference(e, dKept, dBase, N), store.dropoutSeed(), dX,
                    site.path().hashCode(), dropout, true));
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
