package dev.gyre.model.adapter;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// A PSOFT adapter as a LoRA adapter of the same rank, exactly: its update `s B (R~ - I) A` has rank r, so `lora_A = A`,
/// `lora_B = s B (R~ - I)`, `lora_alpha = r`. PEFT recomputes PSOFT's factors from the weight by an SVD whose signs differ
/// from machine to machine; the LoRA form means the same everywhere.
public final class LoraExport {
    private LoraExport() {
    }

    public static Adapter of(Adapter psoft, Backend backend) {
        if (!(psoft.spec() instanceof PsoftSpec spec))
            throw new InputException("only a psoft adapter has an exact LoRA form, this one is "
                    + psoft.spec().method());
        LoraSpec lora = new LoraSpec(spec.targets(), spec.r(), spec.r(), 0, false, false, true, Map.of(), Map.of());
        List<ModuleAdapter> modules = new ArrayList<>();
        for (ModuleAdapter m : psoft.modules())
            modules.add(module((PsoftModule) m, backend));
        return new Adapter(lora, modules, psoft.whole(), psoft.warnings(), psoft.model());
    }

    private static ModuleAdapter module(PsoftModule m, Backend backend) {
        Site site = new Site(m.module(), m.in(), m.out(), false);
        return new LowRankModule(site,
                new Tensor(m.module() + ".lora_A.weight", m.factorA().clone(), true, m.rank(), m.in()),
                new Tensor(m.module() + ".lora_B.weight", m.leftFactor(backend), true, m.out(), m.rank()), 1f, 0f);
    }
}
