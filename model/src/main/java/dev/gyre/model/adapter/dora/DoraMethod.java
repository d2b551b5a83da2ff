package dev.gyre.model.adapter.dora;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.lora.LoraMethod;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;

/// DoRA.
public final class DoraMethod implements Method<Dora> {
    @Override
    public Class<Dora> options() {
        return Dora.class;
    }

    @Override
    public AdapterLayer layer(Dora o, Site site, LayerSource source) {
        AdapterLayer lora = new LoraMethod().layer(o.lora().with(0), site, source);
        double scale = o.lora().scale(site.path());
        Tensor a = lora.tensors().get(0);
        Tensor b = lora.tensors().get(1);
        Tensor magnitude = source.tensor(DoraPeft.MAGNITUDE, new RowNorms(site, source, a, b, scale), site.out());
        return new DoraLayer(site, lora, a, b, magnitude, scale, o.lora().dropout());
    }

    /// Lengths of the rows of `W + s B A`, from which the magnitudes start: the layer is unchanged then.
    private static final class RowNorms implements LayerSource.Init {
        private final Site site;
        private final LayerSource source;
        private final Tensor a;
        private final Tensor b;
        private final double scale;
        private float[] w = {};

        RowNorms(Site site, LayerSource source, Tensor a, Tensor b, double scale) {
            this.site = site;
            this.source = source;
            this.a = a;
            this.b = b;
            this.scale = scale;
        }

        @Override
        public double at(int o) {
            int d = site.in();
            int r = a.dims()[0];
            if (w.length == 0)
                w = source.weight().floats();
            double square = 0;
            for (int i = 0; i < d; i++) {
                double v = w[o * d + i];
                for (int k = 0; k < r; k++)
                    v += scale * b.values()[o * r + k] * a.values()[k * d + i];
                square += v * v;
            }
            if (!(square > 0))
                throw new InputException(site.path() + ": row " + o + " of the weight is zero and has no"
                        + " direction that dora could keep; exclude the module");
            return Math.sqrt(square);
        }
    }

    @Override
    public PeftForm<Dora> peft() {
        return new DoraPeft();
    }

    @Override
    public boolean unmerges() {
        return false;
    }

    @Override
    public List<Preset> presets() {
        return List.of(Preset.of("dora", "DoRA: LoRA with a trained length for each row of the weight", "adapter.r=16",
                "train.lr=2e-4"));
    }
}
