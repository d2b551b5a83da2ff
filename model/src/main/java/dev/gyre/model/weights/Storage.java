package dev.gyre.model.weights;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.quant.Bf16Format;
import dev.gyre.quant.F32Format;
import dev.gyre.quant.Nf4Format;
import dev.gyre.quant.WeightFormat;
import org.jspecify.annotations.Nullable;

/// How frozen weights are held in memory: in which format, and which of them. Weights that are not covered keep
/// their type.
public enum Storage {
    /// As the files have them.
    AS_STORED(null, Cover.NOTHING),
    F32(new F32Format(), Cover.ALL),
    BF16(new Bf16Format(), Cover.MATRICES),
    /// 4-bit NormalFloat with a maximum per 64 weights.
    NF4(new Nf4Format(false), Cover.LAYERS),
    /// The same with the maxima quantised to 8 bits.
    NF4_DOUBLE(new Nf4Format(true), Cover.LAYERS);

    private enum Cover {
        NOTHING, ALL,
        /// Embedding, linear layers and output head; not norms and biases.
        MATRICES,
        /// Linear layers of the model's layers, which is what bitsandbytes quantises.
        LAYERS
    }

    private final @Nullable WeightFormat format;
    private final Cover cover;

    Storage(@Nullable WeightFormat format, Cover cover) {
        this.format = format;
        this.cover = cover;
    }

    /// The format that the weight `name` takes, null when it keeps the one it has.
    private @Nullable WeightFormat format(String name, int rank) {
        boolean covered = switch (cover) {
            case NOTHING -> false;
            case ALL -> true;
            case MATRICES -> rank == 2;
            case LAYERS -> rank == 2 && Site.inLayer(name);
        };
        return covered ? format : null;
    }

    /// The type of a weight after [#of].
    ///
    /// @param rank number of its dimensions
    public DType type(String name, int rank, DType now) {
        WeightFormat f = format(name, rank);
        return f == null ? now : f.type();
    }

    /// The weight as it is held; `w` itself when nothing changes.
    ///
    /// @throws InputException when 4-bit weights would have to become something else
    public HostData of(String name, int rank, HostData w) {
        WeightFormat f = format(name, rank);
        if (f == null)
            return w;
        if (f.type() != w.dtype())
            requireExact(name, w);
        return f.of(w);
    }

    /// Bytes of a weight after [#of].
    ///
    /// @param n number of its elements
    public long bytes(String name, int rank, DType now, long n) {
        WeightFormat f = format(name, rank);
        return (f == null ? WeightFormat.of(now) : f).bytes(n);
    }

    /// @throws InputException when `w` is not what the weight was before it was quantised
    public static void requireExact(String name, HostData w) {
        if (w instanceof HostData.NF4)
            throw new InputException(name + " is stored in 4 bits, and quantisation cannot be undone."
                    + " Train an adapter over it, or start from the model in 16 or 32 bits");
    }
}
