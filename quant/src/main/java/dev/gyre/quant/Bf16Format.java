package dev.gyre.quant;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;

/// Brain floats, 2 bytes an element, rounded to nearest with ties to even.
public record Bf16Format() implements WeightFormat {
    @Override
    public DType type() {
        return DType.BF16;
    }

    @Override
    public long bytes(long n) {
        return 2 * n;
    }

    @Override
    public HostData of(HostData w) {
        if (w.dtype() == DType.BF16)
            return w;
        float[] values = w.floats();
        short[] bits = new short[values.length];
        for (int i = 0; i < bits.length; i++)
            bits[i] = HostData.BF16.bits(values[i]);
        return new HostData.BF16(bits);
    }
}
