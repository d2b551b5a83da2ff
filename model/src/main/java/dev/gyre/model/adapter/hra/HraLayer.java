package dev.gyre.model.adapter.hra;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.Fragment;
import dev.gyre.model.adapter.RotatedLinear;
import dev.gyre.model.adapter.Rotation;
import dev.gyre.model.adapter.Unmerge;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Linear;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// HRA on one module: `y = (x H^T) W^T + bias`, `H = H_0 ... H_(r-1)`, `H_i = I - 2 u_i u_i^T` with `u_i` the i-th
/// column of hra_u (d, r) made a unit vector; merged weight `W H`. With `apply_GS` the columns are orthonormalised.
final class HraLayer implements AdapterLayer {
    private final Site site;
    private final Tensor u;
    private final boolean gramSchmidt;

    HraLayer(Site site, Tensor u, boolean gramSchmidt) {
        this.site = site;
        this.u = u;
        this.gramSchmidt = gramSchmidt;
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> tensors() {
        return List.of(u);
    }

    /// `W = W' H^-1 = W' H_(r-1) ... H_0`: each reflection is its own inverse.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        int d = site.in();
        int r = u.dims()[1];
        float[] units = Fragment.run(backend, tensors(), (e, store) -> {
            Buf made = e.act("unit vectors", r, d);
            e.add(new ReflectOps.HouseholderVectors(store.param(u), made, d, r, gramSchmidt));
            return made;
        });
        for (int i = r - 1; i >= 0; i--) {
            double norm = 0;
            for (int c = 0; c < d; c++)
                norm += (double) units[i * d + c] * units[i * d + c];
            Unmerge.checked(site.path(), "reflection " + i, 1 / norm);
            for (int o = 0; o < rows; o++) {
                double dot = 0;
                for (int c = 0; c < d; c++)
                    dot += w[o * d + c] * units[i * d + c];
                for (int c = 0; c < d; c++)
                    w[o * d + c] -= 2 * dot / norm * units[i * d + c];
            }
        }
        return 1;
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        return new RotatedLinear(new Reflections(store), inner, site.in());
    }

    private final class Reflections implements Rotation {
        private final Buffers store;
        private final int d = site.in();
        private final int r = u.dims()[1];
        private @Nullable Buf unit;

        Reflections(Buffers store) {
            this.store = store;
        }

        @Override
        public void prepare(Emitter e) {
            Buf made = e.act("unit vectors", r, d);
            e.add(new ReflectOps.HouseholderVectors(store.param(u), made, d, r, gramSchmidt));
            unit = made;
        }

        @Override
        public void apply(Emitter e, Buf x, Buf y, int N) {
            e.add(new ReflectOps.Householder(x, Objects.requireNonNull(unit), y, N, d, r));
        }

        @Override
        public void backward(Emitter e, Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
            Buf units = Objects.requireNonNull(unit);
            Buf target = dX != null ? dX : e.act("d x unused", N, d);
            Buf dU = e.act("d unit vectors", r, d);
            e.add(new ReflectOps.HouseholderGrad(x, units, dY, target, dU, N, d, r, dX != null && accumulate));
            e.add(new ReflectOps.HouseholderVectorsGrad(store.param(u), units, dU, store.grad(u), d, r, gramSchmidt));
        }
    }
}
