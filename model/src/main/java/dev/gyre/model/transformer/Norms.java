package dev.gyre.model.transformer;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.ModelConfig;
import org.jspecify.annotations.Nullable;

/// Emission of RMSNorm modules.
final class Norms {
    private Norms() {
    }

    /// The normalised rows and the factors they were scaled by.
    record Out(Buf y, Buf rstd) {
    }

    /// Emits `y = rmsnorm(x)` with the weight of `module`.
    static Out forward(Emitter e, Buffers store, String module, Buf x, int rows, int C, ModelConfig.Norms norms) {
        e.scope(module);
        Buf y = e.act("y", x.dims());
        Buf rstd = e.act("rstd", rows);
        e.add(new NormOps.RmsNorm(x, store.weight(module + ".weight"), y, rstd, rows, C, norms.eps(), norms.offset()));
        return new Out(y, rstd);
    }

    /// Emits the weight's gradient where it is trained, and `dX (+)= ...` unless null.
    static void backward(Emitter e, Buffers store, String module, Buf x, Buf rstd, @Nullable Buf dY, @Nullable Buf dX,
            int rows, int C, ModelConfig.Norms norms, boolean accumulate) {
        if (dY == null)
            return;
        e.scope(module);
        Buf dW = store.weightGrad(module + ".weight");
        if (dW != null)
            e.add(new NormOps.RmsNormWeightGrad(x, rstd, dY, dW, rows, C));
        if (dX != null)
            e.add(new NormOps.RmsNormGrad(x, store.weight(module + ".weight"), rstd, dY, dX, rows, C, accumulate,
                    norms.offset()));
    }
}
