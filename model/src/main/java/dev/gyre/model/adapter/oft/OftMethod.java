package dev.gyre.model.adapter.oft;

import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;

/// OFT in its two forms: OFTv2 rotates the input, OFT v1 the weight.
public final class OftMethod implements Method<Oft> {
    @Override
    public Class<Oft> options() {
        return Oft.class;
    }

    @Override
    public AdapterLayer layer(Oft o, Site site, LayerSource source) {
        int d = site.in();
        int b = o.blockSize(d);
        Tensor v = source.tensor(OftPeft.parameter(source.embedding()),
                i -> o.initWeights() ? 0 : 0.1 * source.normal(), o.blockShare() ? 1 : d / b, b * (b - 1) / 2);
        return new OftLayer(site, o, v, b);
    }

    @Override
    public PeftForm<Oft> peft() {
        return new OftPeft();
    }

    @Override
    public boolean adaptsEmbedding() {
        return true;
    }

    @Override
    public List<Preset> presets() {
        return List.of(
                Preset.of("oftv2", "OFTv2: block rotations of the input, on weights as they are stored",
                        "adapter.block_size=32", "adapter.cayley=newton_schulz", "adapter.terms=6", "train.lr=8e-4"),
                Preset.of("qoft", "QOFT: OFTv2 over weights stored in 4 bits (NF4)", "model.base=nf4",
                        "adapter.block_size=32", "adapter.cayley=newton_schulz", "adapter.terms=6", "train.lr=8e-4"),
                Preset.of("qoft-double", "QOFT with the 4-bit scales quantised as well, the least memory",
                        "model.base=nf4_double", "adapter.block_size=32", "adapter.cayley=newton_schulz",
                        "adapter.terms=6", "train.lr=8e-4"),
                Preset.of("oftv2-exact", "OFTv2 with the exact Cayley transform, for large rotations",
                        "adapter.cayley=exact", "train.lr=4e-4"),
                Preset.of("coft", "constrained OFT: each block stays near the identity", "adapter.coft=true",
                        "adapter.eps=1e-3", "train.lr=4e-4"),
                Preset.of("oftv1", "OFT v1 for comparison: rotates weights instead of inputs; slow",
                        "adapter.form=weight_block", "train.lr=4e-4"));
    }
}
