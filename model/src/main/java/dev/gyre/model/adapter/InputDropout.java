package dev.gyre.model.adapter;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.weights.Site;

/// Inverted dropout on the input of an additive adapter's path (LoRA, PSOFT), not on the base path. The mask is a
/// function of the micro-batch's seed and the module, so backward makes it again instead of keeping it.
public record InputDropout(double p, Site site) {
    private int salt() {
        return site.path().hashCode();
    }

    private boolean active(Emitter e) {
        return p > 0 && e.drops();
    }

    /// `drop(x)`, or x itself where nothing drops.
    public Buf forward(Emitter e, Buf x, int N) {
        if (!active(e))
            return x;
        Buf y = e.act("dropped", N, site.in());
        e.add(new ElementOps.Dropout(x, e.store().dropoutSeed(), y, salt(), p, false));
        return y;
    }

    /// Emits `dX += drop'(dZ A)` for `z = drop(x) A^T`: dZ (N, r), A (r, in).
    public void backward(Emitter e, Buf dZ, Buf a, Buf dX, int N, int r) {
        if (!active(e)) {
            e.add(new ProductOps.MatMul(Form.NN, dZ, a, dX, N, site.in(), r, 1f, true));
            return;
        }
        Buf d = e.act("d dropped", N, site.in());
        e.add(new ProductOps.MatMul(Form.NN, dZ, a, d, N, site.in(), r, 1f, false));
        e.add(new ElementOps.Dropout(d, e.store().dropoutSeed(), dX, salt(), p, true));
    }
}
