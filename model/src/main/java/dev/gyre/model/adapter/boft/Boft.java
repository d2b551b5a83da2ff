package dev.gyre.model.adapter.boft;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;
import org.jspecify.annotations.Nullable;

/// Options of BOFT: butterfly factors of block rotations.
///
/// @param blockSize `boft_block_size`; null when blocks is given
/// @param blocks `boft_block_num`; null when blockSize is given
/// @param factors `boft_n_butterfly_factor`, m
/// @param dropout share of the blocks of one random factor replaced by the identity in training
@OneOf.Case(value = "boft", doc = "BOFT: butterfly products of block rotations")
public record Boft(
        @Key(doc = "features in one block (PEFT: boft_block_size); 4 unless blocks is given", def = "null",
                min = 2) @Nullable Integer blockSize,
        @Key(doc = "number of blocks in place of block_size (PEFT: boft_block_num)", def = "null",
                min = 1) @Nullable Integer blocks,
        @Key(doc = "butterfly factors (PEFT: boft_n_butterfly_factor)", def = "1", min = 1) int factors,
        @Key(doc = "share of blocks replaced by the identity in training (PEFT: boft_dropout)", def = "0", min = 0,
                max = 0.999) double dropout,
        @Key(doc = "start as the unchanged model; false: at random", def = "true") boolean initWeights,
        @Inline Targets targets) implements AdapterOptions {
    private static final int DEFAULT_BLOCK = 4;

    public Boft {
        if (blockSize != null && blocks != null)
            throw new Conflict("blocks", "block_size and blocks exclude each other; give one of them");
        if (blocks == null && blockSize == null)
            blockSize = DEFAULT_BLOCK;
        if (factors < 1)
            throw new Conflict("factors", "boft: " + factors + " butterfly factors; at least 1 is needed");
        if (!(dropout >= 0 && dropout < 1))
            throw new Conflict("dropout", "boft: dropout " + dropout + " is outside 0 .. 1");
    }

    /// `factors` butterfly factors of blocks of size `b`.
    public static Boft of(Targets targets, int b, int factors) {
        return new Boft(b, null, factors, 0, true, targets);
    }

    @Override
    public Boft with(Targets t) {
        return new Boft(blockSize, blocks, factors, dropout, initWeights, t);
    }

    Boft withFactors(int m) {
        return new Boft(blockSize, blocks, m, dropout, initWeights, targets);
    }

    @Override
    public String variant() {
        return (blocks == null ? "b=" + blockSize : "blocks=" + blocks) + ", m=" + factors;
    }

    /// Block size for a module of width d; throws where the butterfly does not fit.
    int blockSize(String module, int d) {
        int b = blocks != null ? d / blocks : blockSize != null ? blockSize : DEFAULT_BLOCK;
        if (b < 1 || d % b != 0 || (blocks != null && d % blocks != 0))
            throw new InputException(module + ": boft " + (blocks == null ? "block size " + blockSize : blocks
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
