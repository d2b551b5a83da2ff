package dev.gyre.model.adapter;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Buf;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Op;
import dev.gyre.kernels.Op.MatMul.Form;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.model.step.Emitter;
import dev.gyre.model.step.Store;
import dev.gyre.model.step.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// A PSOFT adapter as a LoRA adapter of the same rank, exactly: its update `s B (R~ - I) A` has rank r, so `lora_A = A`,
/// `lora_B = s B (R~ - I)`, `lora_alpha = r`. PEFT recomputes PSOFT's factors from the weight by an SVD whose signs differ
/// from machine to machine; the LoRA form means the same everywhere.
public final class LoraExport {
    private LoraExport() {
    }

    public static Adapter of(Adapter psoft, Modules model, Backend backend) {
        if (!(psoft.spec() instanceof PsoftSpec spec))
            throw new IllegalArgumentException("only a psoft adapter has an exact LoRA form, this one is "
                    + psoft.spec().method());
        LoraSpec lora = new LoraSpec(spec.targets(), spec.r(), spec.r(), 0, false, false, true, Map.of(), Map.of());
        List<ModuleAdapter> modules = new ArrayList<>();
        for (ModuleAdapter m : psoft.modules())
            modules.add(module((PsoftModule) m, model, backend));
        return new Adapter(lora, modules, psoft.whole(), psoft.warnings());
    }

    private static ModuleAdapter module(PsoftModule m, Modules model, Backend backend) {
        Store store = new Store(new Store.Source() {
            @Override
            public dev.gyre.kernels.HostData data(String name) {
                return model.data(name);
            }

            @Override
            public int[] dims(String name) {
                return new int[] {m.out(), m.in()};
            }
        }, m.tensors());
        Emitter e = new Emitter("lora " + m.module(), store, false);
        Buf b = Buf.output("lora_B", m.out(), m.rank());
        PsoftModule.Frozen f = m.frozen(store);
        e.add(new Op.MatMul(Form.NN, f.b(), m.core(e, store), b, m.out(), m.rank(), m.rank(), m.scale(), false));
        Program p = e.build();
        try (Session s = backend.open(List.of(p))) {
            store.fill(s, MemoryPlan.of(List.of(p)));
            s.run(p);
            Modules.Info info = new Modules.Info(m.module(), m.in(), m.out(), false);
            return new LowRankModule(info,
                    new Tensor(m.module() + ".lora_A.weight", m.factorA().clone(), true, m.rank(), m.in()),
                    new Tensor(m.module() + ".lora_B.weight", s.read(b), true, m.out(), m.rank()), 1f, 0f);
        }
    }
}
