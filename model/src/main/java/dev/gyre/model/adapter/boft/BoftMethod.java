package dev.gyre.model.adapter.boft;

import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;

/// BOFT.
public final class BoftMethod implements Method<Boft> {
    @Override
    public Class<Boft> options() {
        return Boft.class;
    }

    @Override
    public AdapterLayer layer(Boft o, Site site, LayerSource source) {
        int b = o.blockSize(site.path(), site.in());
        Tensor r = source.tensor(BoftPeft.ROTATION, i -> o.initWeights() ? 0 : 0.1 * source.normal(), o.factors(),
                site.in() / b, b, b);
        Tensor scale = source.tensor(BoftPeft.SCALE, i -> o.initWeights() ? 1 : 1 + 0.1 * source.normal(), site.out(),
                1);
        return new BoftLayer(site, r, scale, (float) o.dropout());
    }

    @Override
    public PeftForm<Boft> peft() {
        return new BoftPeft();
    }

    @Override
    public List<Preset> presets() {
        return List.of(Preset.of("boft", "BOFT: butterfly products of block rotations", "adapter.block_size=4",
                "adapter.factors=1", "train.lr=4e-4"));
    }
}
