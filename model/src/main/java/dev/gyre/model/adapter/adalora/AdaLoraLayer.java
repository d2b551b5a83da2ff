package dev.gyre.model.adapter.adalora;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.NormOps;
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
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// AdaLoRA on one module: `y = x W^T + k (u * E) B^T` with `u = drop(x) A^T`, merged weight `W + k B (A * E)`, where row i
/// of A is scaled by E[i].
///
/// | name | shape | init |
/// |---|---|---|
/// | A | (r, in) | normal, deviation 0.02 |
/// | E | (r, 1) | 0 |
/// | B | (out, r) | normal, deviation 0.02 |
///
/// Backward with `z = u * E`, `h = k dY B`: `dB = k dY^T z`, `dE = sum over tokens of h * u`, `dA = (h * E)^T drop(x)`,
/// `dX = dY W + drop'((h * E) A)`.
final class AdaLoraLayer implements AdapterLayer {
    /// Keeps the norm of the regulariser from dividing 0 by 0; far below any other.
    private static final double TINY = 1e-30;

    private final Site site;
    private final Tensor a;
    private final Tensor e;
    private final Tensor b;
    private final int r;
    private final double scale;
    private final double dropout;
    private final double penalty;
    private @Nullable List<Boolean> pattern;

    /// @param pattern which of the directions at the start the tensors have; null for all
    /// @param penalty weight of each of the two terms of the regulariser
    AdaLoraLayer(Site site, Tensor a, Tensor e, Tensor b, @Nullable List<Boolean> pattern, double scale, double dropout,
            double penalty) {
        this.site = site;
        this.a = a;
        this.e = e;
        this.b = b;
        this.r = a.dims()[0];
        this.pattern = pattern;
        this.scale = scale;
        this.dropout = dropout;
        this.penalty = penalty;
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> tensors() {
        return List.of(a, b, e);
    }

    Tensor a() {
        return a;
    }

    Tensor e() {
        return e;
    }

    Tensor b() {
        return b;
    }

    int rank() {
        return r;
    }

    /// From now on a file holds only the directions that take part.
    void allotted() {
        pattern = List.of();
    }

    /// Directions that the file holds: those of the file it came from, or after an allocation those with E other than 0,
    /// so that the file computes what the layer does also between two allocations.
    ///
    /// @return null for all of them
    @Nullable
    List<Boolean> kept() {
        List<Boolean> p = pattern;
        if (p == null || !p.isEmpty())
            return p;
        List<Boolean> live = new ArrayList<>();
        for (float v : e.values())
            live.add(v != 0);
        return live;
    }

    @Override
    public List<Tensor> portable() {
        List<Boolean> live = pattern != null && pattern.isEmpty() ? kept() : null;
        if (live == null)
            return tensors();
        int n = (int) live.stream().filter(x -> x).count();
        float[] rows = new float[n * site.in()];
        float[] columns = new float[site.out() * n];
        float[] values = new float[n];
        int at = 0;
        for (int i = 0; i < r; i++) {
            if (!live.get(i))
                continue;
            System.arraycopy(a.values(), i * site.in(), rows, at * site.in(), site.in());
            for (int o = 0; o < site.out(); o++)
                columns[o * n + at] = b.values()[o * r + i];
            values[at++] = e.values()[i];
        }
        return List.of(new Tensor(a.name(), rows, true, n, site.in()),
                new Tensor(b.name(), columns, true, site.out(), n),
                new Tensor(e.name(), values, true, n, 1));
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        return r == 0 ? inner : new Decomposed(store, inner);
    }

    /// `W = W' - k B (A * E)`.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        if (r > 0)
            Unmerge.subtract(w, Fragment.run(backend, tensors(), (em, store) -> {
                Buf scaled = em.act("B * E", site.out(), r);
                em.add(new ColumnOps.ScaleColumns(store.param(b), store.param(e), scaled, site.out(), r));
                Buf delta = em.act("delta", site.out(), site.in());
                em.add(new ProductOps.MatMul(Form.NN, scaled, store.param(a), delta, site.out(), site.in(), r, scale,
                        false));
                return delta;
            }));
        return 1;
    }

    /// The gradient of `penalty (||C|| + ||D||)` with `C = A A^T - I`, `D = B^T B - I` in the Frobenius norm, not squared:
    /// `2 penalty C A / ||C||` and `2 penalty B D / ||D||`.
    @Override
    public void regularise(Emitter em, Buffers store) {
        if (penalty == 0 || r == 0)
            return;
        em.scope(site.path());
        Buf pa = store.param(a);
        Buf pb = store.param(b);
        Buf c = normalised(em, store,
                new ProductOps.MatMul(Form.NT, pa, pa, square(em, store), r, r, site.in(), 1, true));
        em.add(new ProductOps.MatMul(Form.NN, c, pa, store.grad(a), r, site.in(), r, 2 * penalty / r, true));
        Buf d = normalised(em, store, new ProductOps.MatMul(Form.TN, pb, pb, square(em, store), r, r, site.out(), 1,
                true));
        em.add(new ProductOps.MatMul(Form.NN, pb, d, store.grad(b), site.out(), r, r, 2 * penalty / r, true));
    }

    /// -I.
    private Buf square(Emitter em, Buffers store) {
        float[] values = new float[r * r];
        for (int i = 0; i < r; i++)
            values[i * r + i] = -1;
        Buf minus = store.constant(site.path() + ".minus I", new dev.gyre.kernels.op.HostData.F32(values), r, r);
        Buf out = em.act("gram", r, r);
        em.add(new ElementOps.Copy(minus, out));
        return out;
    }

    /// The product divided by its root mean square, which is `||C|| / r`; 0 where it is 0.
    private Buf normalised(Emitter em, Buffers store, ProductOps.MatMul product) {
        em.add(product);
        Buf ones = em.act("ones", r * r);
        em.add(new ElementOps.Fill(ones, 1));
        Buf out = em.act("gram normalised", r, r);
        em.add(new NormOps.RmsNorm(product.c(), ones, out, em.act("1 / rms", 1), 1, r * r, TINY));
        return out;
    }

    private final class Decomposed implements Linear {
        private final Buffers store;
        private final Linear inner;
        private final InputDropout drop;
        private @Nullable Buf u;
        private @Nullable Buf z;

        Decomposed(Buffers store, Linear inner) {
            this.store = store;
            this.inner = inner;
            this.drop = new InputDropout(dropout, site);
        }

        @Override
        public void forward(Emitter em, Buf x, Buf y, int N) {
            Buf uu = em.act("u", N, r);
            em.add(new ProductOps.MatMul(Form.NT, drop.forward(em, x, N), store.param(a), uu, N, r, site.in(), 1,
                    false));
            Buf zz = em.act("z", N, r);
            em.add(new ColumnOps.ScaleColumns(uu, store.param(e), zz, N, r));
            // next to each other, so that a backend can compute the sum of both
            inner.forward(em, x, y, N);
            em.add(new ProductOps.MatMul(Form.NT, zz, store.param(b), y, N, site.out(), r, scale, true));
            u = uu;
            z = zz;
        }

        @Override
        public void backward(Emitter em, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
            Objects.requireNonNull(x);
            Buf h = em.act("h", N, r);
            em.add(new ProductOps.MatMul(Form.NN, dY, store.param(b), h, N, r, site.out(), scale, false));
            em.add(new ProductOps.MatMul(Form.TN, dY, Objects.requireNonNull(z), store.grad(b), site.out(), r, N, scale,
                    true));
            em.add(new ColumnOps.ColumnDot(Objects.requireNonNull(u), h, store.grad(e), N, r));
            Buf dU = em.act("d u", N, r);
            em.add(new ColumnOps.ScaleColumns(h, store.param(e), dU, N, r));
            em.add(new ProductOps.MatMul(Form.TN, dU, drop.forward(em, x, N), store.grad(a), r, site.in(), N, 1, true));
            inner.backward(em, x, dY, dX, accumulate, N);
            if (dX != null)
                drop.backward(em, dU, store.param(a), dX, N, r);
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
