package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Orthogonal;

/// OFT: rotations of the input by blocks.
///
/// @param blocks PEFT's `r`: number of blocks; 0 when blockSize is given
/// @param blockSize PEFT's `oft_block_size`; 0 when blocks is given; adjusted to a divisor of the width
/// @param map how R follows from the stored skew blocks
/// @param blockShare one block for the whole width
/// @param coft whether the stored blocks are kept small by projection
/// @param eps bound of coft
/// @param blockDropout share of the blocks replaced by the identity in training (multiplicative dropout as the paper
///        means it; PEFT's `module_dropout` has no effect)
/// @param initWeights start at the identity; otherwise normal with deviation 0.1
/// @param form where the rotation is applied
public record OftSpec(Targets targets, int blocks, int blockSize, Orthogonal map, boolean blockShare, boolean coft,
        double eps, double blockDropout, boolean initWeights, Form form) implements AdapterSpec {

    /// Where the rotation is applied; the function is the same.
    public enum Form {
        /// OFTv2: the input is rotated, the weight stays frozen and untouched.
        INPUT,
        /// OFT v1: the weight is rotated every step by the dense d x d block-diagonal matrix, with a weight gradient.
        WEIGHT_DENSE,
        /// OFT v1 with the block structure used.
        WEIGHT_BLOCK
    }

    public OftSpec {
        if ((blocks == 0) == (blockSize == 0) || blocks < 0 || blockSize < 0)
            throw new InputException(
                    "oft: give either a block size or a number of blocks (r), got block size "
                            + blockSize + " and " + blocks + " blocks");
        if (!(eps > 0))
            throw new InputException("oft: eps " + eps + " is not positive");
        if (!(blockDropout >= 0 && blockDropout < 1))
            throw new InputException("oft: dropout " + blockDropout + " is outside 0 .. 1");
    }

    /// PEFT's defaults with block size `b`.
    public static OftSpec of(Targets targets, int b) {
        return new OftSpec(targets, 0, b, Orthogonal.neumann(5), false, false, 6e-5, 0, true, Form.INPUT);
    }

    @Override
    public String method() {
        return form == Form.INPUT ? "oft" : "oft-v1";
    }

    @Override
    public OftSpec with(Targets t) {
        return new OftSpec(t, blocks, blockSize, map, blockShare, coft, eps, blockDropout, initWeights, form);
    }

    OftSpec withBlockSize(int b) {
        return new OftSpec(targets, 0, b, map, blockShare, coft, eps, blockDropout, initWeights, form);
    }

    /// Block size for a module of width d, by PEFT's rule: a size that does not divide d is moved to the nearest divisor,
    /// ties downwards.
    public int blockSize(int d) {
        if (blocks != 0)
            return d / (d % blocks == 0 ? blocks : adjust(d, blocks));
        return d % blockSize == 0 ? blockSize : adjust(d, blockSize);
    }

    /// The divisor of d nearest to p; d itself when p is not below it.
    static int adjust(int d, int p) {
        if (p >= d)
            return d;
        int hi = p;
        while (d % hi != 0)
            hi++;
        int lo = p;
        while (d % lo != 0)
            lo--;
        return p - lo <= hi - p ? lo : hi;
    }
}
