package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;

/// BOFT: butterfly factors of block rotations.
///
/// @param blockSize `boft_block_size`; 0 when blocks is given
/// @param blocks `boft_block_num`; 0 when blockSize is given
/// @param factors `boft_n_butterfly_factor`, m
/// @param dropout share of the blocks of one random factor replaced by the identity in training
/// @param initWeights start at the identity
public record BoftSpec(Targets targets, int blockSize, int blocks, int factors, double dropout, boolean initWeights)
        implements
        AdapterSpec {
    public BoftSpec {
        if ((blocks == 0) == (blockSize == 0) || blocks < 0 || blockSize < 0)
            throw new InputException("boft: give either a block size or a number of blocks, got block size "
                    + blockSize + " and " + blocks + " blocks");
        if (factors < 1)
            throw new InputException("boft: " + factors + " butterfly factors; at least 1 is needed");
        if (!(dropout >= 0 && dropout < 1))
            throw new InputException("boft: dropout " + dropout + " is outside 0 .. 1");
    }

    /// `factors` butterfly factors of blocks of size `b`.
    public static BoftSpec of(Targets targets, int b, int factors) {
        return new BoftSpec(targets, b, 0, factors, 0, true);
    }

    @Override
    public String method() {
        return "boft";
    }

    @Override
    public BoftSpec with(Targets t) {
        return new BoftSpec(t, blockSize, blocks, factors, dropout, initWeights);
    }

    /// Block size for a module of width d; throws where the butterfly does not fit.
    int blockSize(String module, int d) {
        int b = blockSize != 0 ? blockSize : d / blocks;
        if (b < 1 || d % b != 0 || (blocks != 0 && d % blocks != 0))
            throw new InputException(module + ": boft " + (blockSize != 0 ? "block size " + blockSize : blocks
                    + " blocks") + " does not divide in_features " + d);
        int n = d / b;
        if (factors > 1 && (b % 2 != 0 || n % 2 != 0 || d % (b << (factors - 1)) != 0 || 1 << (factors - 1) > n))
            throw new InputException(module + ": boft with " + factors
                    + " factors needs an even block size and an"
                    + " even number of blocks with in_features divisible by " + (b << (factors - 1)) + "; got " + n
                    + " blocks of " + b);
        return b;
    }
}
