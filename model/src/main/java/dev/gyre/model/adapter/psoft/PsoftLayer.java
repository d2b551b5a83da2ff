package dev.gyre.model.adapter.psoft;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.Fragment;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.adapter.InputDropout;
import dev.gyre.model.adapter.SkewForms;
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

/// PSOFT (MOFT) on one module: rotation inside the principal subspace of the weight,
/// `y = x W^T + s z K^T B^T` with `z = drop(x) A^T` and `K = diag(beta) R diag(alpha) - I`; merged `W + s B K A`.
///
/// | name | shape | note |
/// |---|---|---|
/// | A, B | (r, in), (out, r) | frozen factors of the principal part, A with orthonormal rows |
/// | R | (r, r) | Cayley of a packed skew vector r(r-1)/2, or a free matrix |
/// | alpha, beta | (r) | `vector_a` on the input side, `vector_b` on the output side; either may be absent |
///
/// Backward with `h = s dY B`: `dK = h^T z`, `dX = dY W + drop'(h K A)`. Only z (N, r) is kept.
final class PsoftLayer implements AdapterLayer {
    private final Site site;
    private final float[] factorA;
    private final float[] factorB;
    private final Tensor rotation;
    private final @Nullable Tensor alpha;
    private final @Nullable Tensor beta;
    private final @Nullable Orthogonal map;
    private final int r;
    private final double scale;
    private final double dropout;

    /// @param map how R follows from the packed vector; null when R is trained as a free matrix
    PsoftLayer(Site site, float[] factorA, float[] factorB, int r, Tensor rotation, @Nullable Tensor alpha,
            @Nullable Tensor beta, @Nullable Orthogonal map, double scale, double dropout) {
        this.site = site;
        this.factorA = factorA;
        this.factorB = factorB;
        this.rotation = rotation;
        this.alpha = alpha;
        this.beta = beta;
        this.map = map;
        this.r = r;
        this.scale = scale;
        this.dropout = dropout;
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> frozen() {
        return List.of(new Tensor(site.path() + "." + PsoftPeft.FACTOR_A, factorA, true, r, site.in()),
                new Tensor(site.path() + "." + PsoftPeft.FACTOR_B, factorB, true, site.out(), r));
    }

    @Override
    public List<Tensor> tensors() {
        List<Tensor> out = new ArrayList<>();
        out.add(rotation);
        if (alpha != null)
            out.add(alpha);
        if (beta != null)
            out.add(beta);
        return out;
    }

    @Override
    public List<Tensor> portable() {
        List<Tensor> out = new ArrayList<>(tensors());
        if (map != null)
            out.set(0, new Tensor(rotation.name(), SkewForms.of(map, rotation.values(), 1, r, false), true,
                    rotation.dims()));
        return out;
    }

    /// `W = W' - s B K A`: the factors are stored, so nothing is divided.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        Unmerge.subtract(w, Fragment.run(backend, tensors(), (e, store) -> {
            Frozen f = factors(store);
            Buf delta = e.act("delta", site.out(), site.in());
            e.add(new ProductOps.MatMul(Form.NN, left(e, store, f), f.a(), delta, site.out(), site.in(), r, 1f, false));
            return delta;
        }));
        return 1;
    }

    /// Emits `s B K` (out, r).
    private Buf left(Emitter e, Buffers store, Frozen f) {
        Buf left = e.act("left", site.out(), r);
        e.add(new ProductOps.MatMul(Form.NN, f.b(), core(e, store), left, site.out(), r, r, scale, false));
        return left;
    }

    /// `A` and `s B K`.
    @Override
    public LowRank lowRank(Backend backend) {
        return new LowRank(r, factorA.clone(),
                Fragment.run(backend, tensors(), (e, store) -> left(e, store, factors(store))));
    }

    @Override
    public @Nullable Geometry geometry() {
        return map == null ? null : Geometry.of(site.path(), map, rotation.values(), 1, r);
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        return new SubspaceLinear(store, inner);
    }

    /// Buffers of the frozen factors.
    record Frozen(Buf a, Buf b) {
    }

    Frozen factors(Buffers store) {
        return new Frozen(store.constant(site.path() + ".psoft_A", new HostData.F32(factorA), r, site.in()),
                store.constant(site.path() + ".psoft_B", new HostData.F32(factorB), site.out(), r));
    }

    /// Emits R (r, r).
    private Buf rotation(Emitter e, Buffers store) {
        Buf stored = store.param(rotation);
        if (map == null)
            return stored;
        Buf made = e.act("R", r, r);
        e.add(new CayleyOps.Cayley(map, stored, made, 1, r));
        return made;
    }

    private Buf core(Emitter e, Buffers store, Buf rot) {
        Buf k = e.act("core", r, r);
        e.add(new SubspaceOps.PsoftCore(rot, param(store, alpha), param(store, beta), k, r));
        return k;
    }

    /// Emits `diag(beta) R diag(alpha) - I` (r, r).
    private Buf core(Emitter e, Buffers store) {
        return core(e, store, rotation(e, store));
    }

    private static @Nullable Buf param(Buffers store, @Nullable Tensor t) {
        return t == null ? null : store.param(t);
    }

    private final class SubspaceLinear implements Linear {
        private final Buffers store;
        private final Linear inner;
        private final InputDropout drop;
        private final Buf a;
        private final Buf b;
        private @Nullable Buf R;
        private @Nullable Buf core;
        private @Nullable Buf z;

        SubspaceLinear(Buffers store, Linear inner) {
            this.store = store;
            this.inner = inner;
            this.drop = new InputDropout(dropout, site);
            Frozen f = factors(store);
            this.a = f.a();
            this.b = f.b();
        }

        private @Nullable Buf grad(@Nullable Tensor t) {
            return t == null ? null : store.grad(t);
        }

        @Override
        public void forward(Emitter e, Buf x, Buf y, int N) {
            Buf rot = rotation(e, store);
            Buf k = core(e, store, rot);
            Buf zz = e.act("z", N, r);
            e.add(new ProductOps.MatMul(Form.NT, drop.forward(e, x, N), a, zz, N, r, site.in(), 1f, false));
            Buf u = e.act("u", N, r);
            e.add(new ProductOps.MatMul(Form.NT, zz, k, u, N, r, r, 1f, false));
            // next to each other, so that a backend can compute the sum of both
            inner.forward(e, x, y, N);
            e.add(new ProductOps.MatMul(Form.NT, u, b, y, N, site.out(), r, scale, true));
            R = rot;
            core = k;
            z = zz;
        }

        @Override
        public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
            Buf rot = Objects.requireNonNull(R);
            Buf h = e.act("h", N, r);
            e.add(new ProductOps.MatMul(Form.NN, dY, b, h, N, r, site.out(), scale, false));
            Buf dCore = e.act("d core", r, r);
            e.add(new ProductOps.MatMul(Form.TN, h, Objects.requireNonNull(z), dCore, r, r, N, 1f, false));
            Buf dR = e.act("d R", r, r);
            e.add(new SubspaceOps.PsoftCoreGrad(rot, param(store, alpha), param(store, beta), dCore, dR, grad(alpha),
                    grad(beta),
                    r));
            if (map == null)
                e.add(new ElementOps.Axpy(1f, dR, store.grad(rotation)));
            else
                e.add(new CayleyOps.CayleyGrad(map, store.param(rotation), dR, store.grad(rotation), 1, r));
            if (dX == null) {
                inner.backward(e, x, dY, null, accumulate, N);
            } else {
                Buf dZ = e.act("d z", N, r);
                e.add(new ProductOps.MatMul(Form.NN, h, Objects.requireNonNull(core), dZ, N, r, r, 1f, false));
                inner.backward(e, x, dY, dX, accumulate, N);
                drop.backward(e, dZ, a, dX, N, r);
            }
        }

        @Override
        public boolean needsInput() {
            return inner.needsInput();
        }

        @Override
        public boolean trains() {
            return true;
        }
    }
}
