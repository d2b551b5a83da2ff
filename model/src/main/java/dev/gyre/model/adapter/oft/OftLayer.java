package dev.gyre.model.adapter.oft;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.EmbeddingRotation;
import dev.gyre.model.adapter.Fragment;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.adapter.RotatedLinear;
import dev.gyre.model.adapter.Rotation;
import dev.gyre.model.adapter.SkewForms;
import dev.gyre.model.adapter.Unmerge;
import dev.gyre.model.emit.BaseLinear;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Linear;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;

/// OFTv2 on one module: `y = (x R) W^T + bias`, merged weight `W R^T`; on an embedding, rows `e R`.
final class OftLayer implements AdapterLayer {
    private final Site site;
    private final Oft options;
    private final Tensor v;
    private final int b;

    /// @param v packed skew blocks (stored, b(b-1)/2)
    OftLayer(Site site, Oft options, Tensor v, int b) {
        this.site = site;
        this.options = options;
        this.v = v;
        this.b = b;
    }

    @Override
    public String module() {
        return site.path();
    }

    @Override
    public List<Tensor> tensors() {
        return b == 1 ? List.of() : List.of(v);
    }

    @Override
    public List<Tensor> portable() {
        return List
                .of(new Tensor(v.name(), SkewForms.of(options.map(), v.values(), v.dims()[0], b, true), true,
                        v.dims()));
    }

    private Rotation rotation(Buffers store) {
        return new OftRotation(store, options.map(), v, site.in(), b, coftLimit(), (float) options.dropout());
    }

    /// Rounded, as PEFT evaluates it in single precision.
    private double coftLimit() {
        return options.coft() ? (float) (options.eps() / Math.sqrt(v.dims()[0])) : 0;
    }

    @Override
    public Linear wrap(Buffers store, Linear inner) {
        if (b == 1)
            return inner;
        if (options.form() == Oft.Form.INPUT)
            return new RotatedLinear(rotation(store), inner, site.in());
        if (!(inner instanceof BaseLinear base))
            throw new InputException(site.path() + ": OFT v1 rotates a stored weight and cannot wrap another"
                    + " adapter; attach it last, or use OFTv2");
        return new RotatedWeight(store, base, options.map(), v, site.in(), site.out(), b,
                options.form() == Oft.Form.WEIGHT_DENSE);
    }

    @Override
    public EmbeddingRotation onEmbedding(Buffers store) {
        return new EmbeddingRotation(rotation(store));
    }

    /// `W = W' R^-T` by blocks, `E = E' R^-1`.
    @Override
    public double unmerge(double[] w, int rows, boolean embedding, Backend backend) {
        if (b == 1)
            return 1;
        int stored = v.dims()[0];
        float[] r =
                Fragment.run(backend, tensors(), (e, store) -> new OftRotation(store, options.map(), v, site.in(), b,
                        coftLimit(), 0f).emit(e));
        Unmerge.Blocks inverse = Unmerge.inverse(site.path(), r, stored, b);
        double[] m = inverse.inverse();
        double[] row = new double[b];
        int d = site.in();
        for (int o = 0; o < rows; o++)
            for (int i = 0; i < d / b; i++) {
                int at = o * d + i * b;
                int block = (stored == 1 ? 0 : i) * b * b;
                System.arraycopy(w, at, row, 0, b);
                for (int c = 0; c < b; c++) {
                    double s = 0;
                    for (int k = 0; k < b; k++)
                        s += row[k] * m[block + (embedding ? k * b + c : c * b + k)];
                    w[at + c] = s;
                }
            }
        return inverse.growth();
    }

    @Override
    public Geometry geometry() {
        return Geometry.of(site.path(), options.map(), v.values(), v.dims()[0], b);
    }
}
