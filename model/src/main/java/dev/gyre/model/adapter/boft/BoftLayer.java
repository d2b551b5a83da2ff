package dev.gyre.model.adapter.boft;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.Fragment;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.adapter.RotatedLinear;
import dev.gyre.model.adapter.Rotation;
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

/// BOFT on one module: `y = ((x R) W^T) * s + bias` with the butterfly `R = F_(m-1) ... F_0`,
/// `F_k = P_k blockdiag(K[k]) P_k^T`, `K = (I - S)(I + S)^-1`, `S = (X - X^T) / 2`.
///
/// | name | shape | note |
/// |---|---|---|
/// | boft_R | (m, N, b, b) | X, init 0; N = in / b |
/// | boft_s | (out, 1) | output scale, init 1 |
///
/// A row meets F_(m-1) first. Merged weight `(W R^T) * s` (rows scaled).
final class BoftLayer implements AdapterLayer {
    private static final Orthogonal MAP = new Orthogonal(Orthogonal.Form.CAYLEY_MINUS, 0, 0f, Orthogonal.Skew.FULL);

    /// Below it values of a row may have been rounded to zero when they were stored.
    private static final double SMALLEST_SCALE = 1e-20;

    private final Site site;
    private final Tensor blocks;
    private final Tensor scale;
    private final float dropout;
    private final int m;
    private final int N;
    private final int b;

    BoftLayer(Site site, Tensor blocks, Tensor scale, float dropout) {
        this.site = site;
        this.blocks = blocks;
        this.scale = scale;
        this.dropout = dropout;
        this.m = blocks.dims()[0];
        this.N = blocks.dims()[1];
        this.b = blocks.dims()[2];
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> tensors() {
        return List.of(blocks, scale);
    }

    @Override
    public Geometry geometry() {
        return Geometry.of(site.path(), MAP, blocks.values(), m * N, b);
    }

    /// `W = (W' / s) R`, R being orthogonal.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        int d = site.in();
        float[] unscaled = new float[Math.multiplyExact(rows, d)];
        for (int o = 0; o < rows; o++) {
            double s = scale.values()[o];
            // a row's own factor keeps the relative error of its values, until they underflow
            Unmerge.checked(site.path(), "its scale of output " + o,
                    Math.abs(s) > SMALLEST_SCALE ? 1 : 1 / Math.abs(s));
            for (int c = 0; c < d; c++)
                unscaled[o * d + c] = (float) (w[o * d + c] / s);
        }
        float[] turned = Fragment.run(backend, tensors(), (e, store) -> {
            Butterfly rotation = new Butterfly(store);
            rotation.prepare(e);
            Buf y = e.act("turned", rows, d);
            rotation.apply(e, store.constant("unscaled", new HostData.F32(unscaled), rows, d), y, rows);
            return y;
        });
        for (int i = 0; i < w.length; i++)
            w[i] = turned[i];
        return 1;
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        return new ScaledLinear(store, new RotatedLinear(new Butterfly(store), inner, site.in()));
    }

    /// Order of the features in factor k: groups of `b 2^k`, inside a group chunks of `b/2`, even-numbered chunks first.
    /// One factor alone keeps the order.
    static int[] permutation(int d, int b, int factors, int k) {
        int[] p = new int[d];
        if (factors == 1 || k == 0) {
            for (int j = 0; j < d; j++)
                p[j] = j;
            return p;
        }
        int group = b << k;
        int chunk = b / 2;
        int chunks = group / chunk;
        for (int j = 0; j < d; j++) {
            int inside = j % group;
            int c = inside / chunk;
            int from = c < chunks / 2 ? 2 * c : 2 * (c - chunks / 2) + 1;
            p[j] = j - inside + from * chunk + inside % chunk;
        }
        return p;
    }

    private final class Butterfly implements Rotation {
        private final Buffers store;
        private final int d = site.in();
        private @Nullable Buf k;
        private @Nullable Buf mask;
        private final List<Buf> perms = new ArrayList<>();
        private final List<Buf> inverses = new ArrayList<>();

        Butterfly(Buffers store) {
            this.store = store;
            for (int f = 0; f < m; f++) {
                int[] p = permutation(d, b, m, f);
                int[] inverse = new int[d];
                for (int j = 0; j < d; j++)
                    inverse[p[j]] = j;
                perms.add(store.constant(site.path() + ".perm" + f, p));
                inverses.add(store.constant(site.path() + ".inverse" + f, inverse));
            }
        }

        @Override
        public void prepare(Emitter e) {
            Buf made = e.act("K", m, N, b, b);
            e.add(new CayleyOps.Cayley(MAP, store.param(blocks), made, m * N, b));
            if (dropout > 0 && e.drops()) {
                mask = store.blockMask(blocks, m, N, dropout);
                e.add(new CayleyOps.MaskBlocks(made, mask, m * N, b, true));
            }
            k = made;
        }

        private Buf factor(Buf all, int f) {
            return all.view("factor " + f, (long) f * N * b * b, N, b, b);
        }

        private boolean permuted(int f) {
            return m > 1 && f > 0;
        }

        private Buf permute(Emitter e, Buf x, Buf perm, int rows) {
            Buf y = e.act("permuted", rows, d);
            e.add(new ColumnOps.PermuteColumns(x, perm, y, rows, d));
            return y;
        }

        /// Rows as factor f's blocks see them.
        private Buf entering(Emitter e, Buf x, int f, int rows) {
            return permuted(f) ? permute(e, x, inverses.get(f), rows) : x;
        }

        @Override
        public void apply(Emitter e, Buf x, Buf y, int rows) {
            Buf all = Objects.requireNonNull(k);
            for (int f = m - 1; f >= 0; f--) {
                Buf in = entering(e, x, f, rows);
                Buf out = f == 0 ? y : e.act("turned", rows, d);
                e.add(new RotateOps.BlockRotate(in, factor(all, f), out, rows, d, b, N, false, false));
                x = permuted(f) ? permute(e, out, perms.get(f), rows) : out;
            }
        }

        @Override
        public void backward(Emitter e, Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int rows) {
            Buf all = Objects.requireNonNull(k);
            Buf[] ins = new Buf[m];
            Buf at = x;
            for (int f = m - 1; f >= 0; f--) {
                ins[f] = entering(e, at, f, rows);
                if (f > 0) {
                    Buf out = e.act("turned", rows, d);
                    e.add(new RotateOps.BlockRotate(ins[f], factor(all, f), out, rows, d, b, N, false, false));
                    at = permute(e, out, perms.get(f), rows);
                }
            }
            Buf dK = e.act("d K", m, N, b, b);
            Buf g = dY;
            for (int f = 0; f < m; f++) {
                boolean last = f == m - 1;
                Buf dOut = permuted(f) ? permute(e, g, inverses.get(f), rows) : g;
                e.add(new RotateOps.BlockRotateGrad(ins[f], dOut, factor(dK, f), rows, d, b, N));
                if (last && dX == null)
                    break;
                boolean direct = last && !permuted(f) && dX != null;
                Buf dIn = direct ? Objects.requireNonNull(dX) : e.act("d turned", rows, d);
                e.add(new RotateOps.BlockRotate(dOut, factor(all, f), dIn, rows, d, b, N, true, direct && accumulate));
                g = permuted(f) ? permute(e, dIn, perms.get(f), rows) : dIn;
                if (last && !direct && dX != null)
                    e.add(accumulate ? new ElementOps.Axpy(1f, g, dX) : new ElementOps.Copy(g, dX));
            }
            if (mask != null)
                e.add(new CayleyOps.MaskBlocks(dK, mask, m * N, b, false));
            e.add(new CayleyOps.CayleyGrad(MAP, store.param(blocks), dK, store.grad(blocks), m * N, b));
        }
    }

    /// `y = inner(x) * s`, before the bias.
    private final class ScaledLinear implements Linear {
        private final Buffers store;
        private final Linear inner;
        private @Nullable Buf unscaled;

        ScaledLinear(Buffers store, Linear inner) {
            this.store = store;
            this.inner = inner;
        }

        @Override
        public void forward(Emitter e, Buf x, Buf y, int rows) {
            Buf raw = e.act("unscaled", rows, site.out());
            inner.forward(e, x, raw, rows);
            e.add(new ColumnOps.ScaleColumns(raw, store.param(scale), y, rows, site.out()));
            unscaled = raw;
        }

        @Override
        public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int rows) {
            e.add(new ColumnOps.ColumnDot(Objects.requireNonNull(unscaled), dY, store.grad(scale), rows, site.out()));
            Buf dRaw = e.act("d unscaled", rows, site.out());
            e.add(new ColumnOps.ScaleColumns(dY, store.param(scale), dRaw, rows, site.out()));
            inner.backward(e, x, dRaw, dX, accumulate, rows);
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
