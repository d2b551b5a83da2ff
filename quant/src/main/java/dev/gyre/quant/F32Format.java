package dev.gyre.quant;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;

/// Single precision, 4 bytes an element.
public record F32Format() implements WeightFormat {
    @Override
    public DType type() {
        return DType.F32;
    }

    @Override
    public long bytes(long n) {
        return 4 * n;
    }

    @Override
    public HostData of(HostData w) {
        return w.dtype() == DType.F32 ? w : new HostData.F32(w.floats());
    }
}
