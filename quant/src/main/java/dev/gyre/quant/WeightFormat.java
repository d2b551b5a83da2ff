package dev.gyre.quant;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;

/// A form that frozen weights can be held in. The other direction, values from what is held, is [HostData#decode].
public interface WeightFormat {
    DType type();

    /// Bytes of a weight of `n` elements, block maxima included, constant tables not.
    long bytes(long n);

    /// The weight in this form; `w` itself when it is already.
    HostData of(HostData w);

    /// The format of weights of a type. NF4 with plain block maxima, since the type does not tell.
    static WeightFormat of(DType type) {
        return switch (type) {
            case F32 -> new F32Format();
            case BF16 -> new Bf16Format();
            case NF4 -> new Nf4Format(false);
            case I32 -> throw new IllegalArgumentException("weights are never integers");
        };
    }
}
