package dev.gyre.quant;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;

/// 4-bit NormalFloat in blocks of [Nf4#DEFAULT_BLOCK].
///
/// @param doubled whether block maxima are quantised as well ([DoubleQuant])
public record Nf4Format(boolean doubled) implements WeightFormat {
    @Override
    public DType type() {
        return DType.NF4;
    }

    @Override
    public long bytes(long n) {
        long blocks = n / Nf4.DEFAULT_BLOCK;
        return (n + 1) / 2 + (doubled ? blocks + blocks / DoubleQuant.BLOCK * 4 : 4 * blocks);
    }

    /// NF4 weights keep their codes, and quantised maxima stay quantised.
    @Override
    public HostData of(HostData w) {
        HostData.NF4 q = w instanceof HostData.NF4 n ? n : Nf4.quantize(w, Nf4.DEFAULT_BLOCK);
        return doubled && q.absmax != null ? DoubleQuant.of(q) : q;
    }
}
