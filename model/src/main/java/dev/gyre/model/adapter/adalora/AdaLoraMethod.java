package dev.gyre.model.adapter.adalora;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.StepHook;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// AdaLoRA.
public final class AdaLoraMethod implements Method<AdaLora> {
    private static final double DEVIATION = 0.02;

    @Override
    public Class<AdaLora> options() {
        return AdaLora.class;
    }

    @Override
    public AdapterLayer layer(AdaLora o, Site site, LayerSource source) {
        List<Boolean> pattern = o.rankPattern().get(site.path() + "." + AdaLoraPeft.E);
        if (pattern != null && pattern.size() != o.initR())
            throw new InputException(site.path() + ": rank_pattern has " + pattern.size()
                    + " entries, but init_r is " + o.initR());
        int r = pattern == null ? o.initR() : (int) pattern.stream().filter(kept -> kept).count();
        double deviation = o.initWeights() ? DEVIATION : 1;
        Tensor a = source.tensor(AdaLoraPeft.A, i -> deviation * source.normal(), r, site.in());
        Tensor e = source.tensor(AdaLoraPeft.E, i -> o.initWeights() ? 0 : source.normal(), r, 1);
        Tensor b = source.tensor(AdaLoraPeft.B, i -> deviation * source.normal(), site.out(), r);
        return new AdaLoraLayer(site, a, e, b, pattern, o.scale(), o.dropout(),
                o.orthogonality() / (2.0 * source.modules()));
    }

    @Override
    public PeftForm<AdaLora> peft() {
        return new AdaLoraPeft();
    }

    /// Ranks are allotted where the length of the run is known and no direction was cut out before.
    @Override
    public @Nullable StepHook stepHook(AdaLora o, List<AdapterLayer> layers) {
        return o.steps() == null || !o.rankPattern().isEmpty() ? null
                : new RankAllocator(o, layers.stream().map(AdaLoraLayer.class::cast).toList());
    }

    @Override
    public List<Preset> presets() {
        return List
                .of(Preset.of("adalora", "AdaLoRA: LoRA that moves its ranks to where they help", "adapter.init_r=12",
                        "adapter.target_r=8", "train.lr=1e-3"));
    }
}
