package dev.gyre.model.adapter.lora;

import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;

/// LoRA.
public final class LoraMethod implements Method<Lora> {
    @Override
    public Class<Lora> options() {
        return Lora.class;
    }

    @Override
    public AdapterLayer layer(Lora o, Site site, LayerSource source) {
        int r = o.rank(site.path());
        double bound = 1 / Math.sqrt(site.in());
        Tensor a = source.tensor(LoraPeft.A,
                i -> o.gaussian() ? source.normal() / r : (2 * source.uniform() - 1) * bound, r, site.in());
        Tensor b = source.tensor(LoraPeft.B,
                i -> o.initWeights() ? 0 : (2 * source.uniform() - 1) / Math.sqrt(r), site.out(), r);
        Tensor bias = o.bias() ? source.tensor(LoraPeft.BIAS, _ -> 0, site.out()) : null;
        float[] base = switch (o.start()) {
            case NONE -> null;
            case PISSA -> LoraStart.pissa(site, source.weight(), r);
            case OLORA -> LoraStart.olora(site, source.weight(), r, o.scale(site.path()));
        };
        return new LoraLayer(site, a, b, bias, base, o.scale(site.path()), o.dropout());
    }

    @Override
    public PeftForm<Lora> peft() {
        return new LoraPeft();
    }

    @Override
    public List<Preset> presets() {
        return List.of(
                Preset.of("lora", "LoRA: a low-rank update, the common baseline", "adapter.r=16", "train.lr=2e-4"),
                Preset.of("qlora", "QLoRA: LoRA over weights stored in 4 bits with quantised scales",
                        "model.base=nf4_double", "adapter.r=16", "train.lr=2e-4"));
    }
}
