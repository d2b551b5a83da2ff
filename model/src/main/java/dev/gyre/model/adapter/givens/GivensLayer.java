package dev.gyre.model.adapter.givens;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.Givens;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.model.adapter.AdapterLayer;
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
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// GOFT and qGOFT on one module: `y = (x M) W^T + bias`, `M = G_L ... G_1 diag(scaler)`, d-1 Givens rotations in
/// ceil(log2 d) stages; merged weight `W M^T`.
///
/// | name | shape | note |
/// |---|---|---|
/// | givens_hard | (d-1) | GOFT: angles `pi tanh(phi)`, init 0 |
/// | givens_soft | (d-1, 2, 2) | qGOFT: free 2x2 matrices, init I |
/// | givens_scaler | (d) | GOFT, optional, init 1 |
final class GivensLayer implements AdapterLayer {
    private final Site site;
    private final Tensor pairs;
    private final @Nullable Tensor scaler;
    private final boolean strict;
    private final double penalty;

    /// @param penalty lambda of qGOFT's soft orthogonality
    GivensLayer(Site site, Tensor pairs, @Nullable Tensor scaler, boolean strict, double penalty) {
        this.site = site;
        this.pairs = pairs;
        this.scaler = scaler;
        this.strict = strict;
        this.penalty = penalty;
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> tensors() {
        List<Tensor> out = new ArrayList<>();
        if (site.in() > 1)
            out.add(pairs);
        if (scaler != null)
            out.add(scaler);
        return out;
    }

    /// The largest `||g^T g - I||` of the pairs (its spectral norm); a strict pair has none. `skewNorm` is 0: there is no
    /// Q. The angle is that of the largest pair.
    @Override
    public Geometry geometry() {
        double angle = 0;
        double defect = 0;
        float[] p = pairs.values();
        for (int i = 0; i < site.in() - 1; i++) {
            if (strict) {
                angle = Math.max(angle, 180 * Math.abs(Math.tanh(p[i])));
                continue;
            }
            double a = p[4 * i];
            double b = p[4 * i + 1];
            double c = p[4 * i + 2];
            double d = p[4 * i + 3];
            double x = a * a + c * c - 1;
            double y = b * b + d * d - 1;
            double z = a * b + c * d;
            defect = Math.max(defect, Math.abs((x + y) / 2) + Math.hypot((x - y) / 2, z));
            angle = Math.max(angle, Math.toDegrees(Math.abs(Math.atan2(c - b, a + d))));
        }
        return new Geometry(site.path(), 0, angle, defect);
    }

    /// `W = W' M^-T`: the stages as they come, each pair by its 2x2 inverse, then the scaler divided out.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        int d = site.in();
        double growth = 1;
        double[] inverse = new double[4 * (d - 1)];
        float[] p = pairs.values();
        List<Givens.Stage> stages = Givens.stages(d);
        for (Givens.Stage stage : stages) {
            double worst = 1;
            for (int i = stage.first(); i < stage.first() + stage.pairs(); i++) {
                double theta = strict ? Math.PI * Math.tanh(p[i]) : 0;
                double g00 = strict ? Math.cos(theta) : p[4 * i];
                double g01 = strict ? -Math.sin(theta) : p[4 * i + 1];
                double g10 = strict ? Math.sin(theta) : p[4 * i + 2];
                double g11 = strict ? Math.cos(theta) : p[4 * i + 3];
                double det = g00 * g11 - g01 * g10;
                double square = g00 * g00 + g01 * g01 + g10 * g10 + g11 * g11;
                double largest = Math.sqrt((square + Math.sqrt(Math.max(0, square * square - 4 * det * det))) / 2);
                worst = Math.max(worst,
                        Unmerge.checked(site.path(), "pair " + i + " of its Givens sweep", largest / Math.abs(det)));
                inverse[4 * i] = g11 / det;
                inverse[4 * i + 1] = -g10 / det;
                inverse[4 * i + 2] = -g01 / det;
                inverse[4 * i + 3] = g00 / det;
            }
            growth *= worst;
        }
        double[] scales = new double[d];
        Arrays.fill(scales, 1);
        if (scaler != null)
            for (int c = 0; c < d; c++)
                scales[c] = scaler.values()[c];
        // features are mixed after they were scaled: what a small factor left drowns in its neighbours' rounding
        double large = Arrays.stream(scales).map(Math::abs).max().orElse(1);
        double small = Arrays.stream(scales).map(Math::abs).min().orElse(1);
        growth = Unmerge.checked(site.path(), scaler == null ? "its Givens sweep" : "its scaler",
                growth * large / small);
        for (int o = 0; o < rows; o++) {
            int at = o * d;
            for (int s = stages.size() - 1; s >= 0; s--) {
                Givens.Stage stage = stages.get(s);
                for (int j = 0; j < stage.pairs(); j++) {
                    int x = at + 2 * stage.stride() * j;
                    int y = x + stage.stride();
                    int g = 4 * (stage.first() + j);
                    double a = w[x];
                    w[x] = a * inverse[g] + w[y] * inverse[g + 2];
                    w[y] = a * inverse[g + 1] + w[y] * inverse[g + 3];
                }
            }
            for (int c = 0; c < d; c++)
                w[at + c] /= scales[c];
        }
        return growth;
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        return new RotatedLinear(new Sweep(store), inner, site.in());
    }

    @Override
    public void regularise(Emitter e, Buffers store) {
        if (strict || penalty == 0 || site.in() < 2)
            return;
        e.scope(site.path());
        e.add(new GivensOps.GivensPenalty(store.param(pairs), store.grad(pairs), e.act("penalty", 1), site.in() - 1,
                penalty));
    }

    private final class Sweep implements Rotation {
        private final Buffers store;
        private final int d = site.in();
        private @Nullable Buf g;

        Sweep(Buffers store) {
            this.store = store;
        }

        @Override
        public void prepare(Emitter e) {
            if (d < 2)
                return;
            if (strict) {
                Buf made = e.act("givens", d - 1, 4);
                e.add(new GivensOps.GivensAngles(store.param(pairs), made, d - 1));
                g = made;
            } else {
                g = store.param(pairs);
            }
        }

        private Buf swept(Emitter e, Buf x, int N) {
            Buf y = e.act("swept", N, d);
            sweep(e, x, y, N);
            return y;
        }

        private void sweep(Emitter e, Buf x, Buf y, int N) {
            e.add(g == null ? new ElementOps.Copy(x, y) : new GivensOps.GivensSweep(x, g, y, N, d));
        }

        @Override
        public void apply(Emitter e, Buf x, Buf y, int N) {
            sweep(e, x, y, N);
            if (scaler != null)
                e.add(new ColumnOps.ScaleColumns(y, store.param(scaler), y, N, d));
        }

        @Override
        public void backward(Emitter e, Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
            Buf dSwept = dY;
            if (scaler != null) {
                e.add(new ColumnOps.ColumnDot(swept(e, x, N), dY, store.grad(scaler), N, d));
                dSwept = e.act("d swept", N, d);
                e.add(new ColumnOps.ScaleColumns(dY, store.param(scaler), dSwept, N, d));
            }
            Buf target = dX != null ? dX : e.act("d x unused", N, d);
            boolean add = dX != null && accumulate;
            if (g == null) {
                e.add(add ? new ElementOps.Axpy(1f, dSwept, target) : new ElementOps.Copy(dSwept, target));
                return;
            }
            Buf dG = e.act("d givens", d - 1, 4);
            e.add(new GivensOps.GivensSweepGrad(x, Objects.requireNonNull(g), dSwept, target, dG, N, d, strict, add));
            if (strict)
                e.add(new GivensOps.GivensAnglesGrad(store.param(pairs), dG, store.grad(pairs), d - 1));
            else
                e.add(new ElementOps.Axpy(1f, dG, store.grad(pairs)));
        }
    }
}
