package dev.gyre.model.adapter.hra;

import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.weights.Site;
import java.util.List;

/// HRA.
public final class HraMethod implements Method<Hra> {
    @Override
    public Class<Hra> options() {
        return Hra.class;
    }

    @Override
    public AdapterLayer layer(Hra o, Site site, LayerSource source) {
        return new HraLayer(site, source.tensor(HraPeft.VECTORS, initial(o, site.in(), source), site.in(), o.r()),
                o.gramSchmidt());
    }

    /// Columns uniform in +-1/sqrt(r/2), each followed by its twin, so that pairs of reflections cancel; an odd last one
    /// has none. Without `initWeights` all columns differ.
    private static LayerSource.Init initial(Hra o, int d, LayerSource source) {
        int r = o.r();
        int half = o.initWeights() ? (r + 1) / 2 : r;
        double bound = 1 / Math.sqrt(Math.max(1, r / 2));
        float[] drawn = new float[d * half];
        for (int i = 0; i < drawn.length; i++)
            drawn[i] = (float) ((2 * source.uniform() - 1) * bound);
        return i -> drawn[i / r * half + (o.initWeights() ? i % r / 2 : i % r)];
    }

    @Override
    public PeftForm<Hra> peft() {
        return new HraPeft();
    }

    @Override
    public List<Preset> presets() {
        return List.of(Preset.of("hra", "HRA: a chain of Householder reflections", "adapter.r=8", "train.lr=1e-3"));
    }
}
