package dev.gyre.model.adapter.lora;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.List;

/// An adapter whose update of each weight is exactly a product of two thin matrices, as a LoRA adapter. PSOFT is one:
/// `s B (R~ - I) A` has its rank. PEFT recomputes PSOFT's factors from the weight by an SVD whose signs differ from machine
/// to machine; the LoRA form means the same everywhere.
public final class LoraExport {
    private LoraExport() {
    }

    /// @throws InputException when the adapter's method has no such form
    public static Adapter of(Adapter adapter, Backend backend) {
        List<AdapterLayer> layers = new ArrayList<>();
        int rank = 1;
        for (AdapterLayer m : adapter.modules()) {
            AdapterLayer.LowRank u = adapter.options() instanceof Lora ? null : m.lowRank(backend);
            if (u == null)
                throw new InputException("only a psoft adapter has an exact LoRA form, this one is "
                        + adapter.options().title());
            int in = u.a().length / u.r();
            int out = u.b().length / u.r();
            rank = u.r();
            layers.add(new LoraLayer(new Site(m.module(), in, out, false),
                    new Tensor(m.module() + "." + LoraPeft.A, u.a(), true, u.r(), in),
                    new Tensor(m.module() + "." + LoraPeft.B, u.b(), true, out, u.r()), 1, 0));
        }
        return new Adapter(Lora.of(adapter.options().targets(), rank, rank), layers, adapter.whole(),
                adapter.warnings(), adapter.model());
    }
}
