package dev.gyre.model.adapter.oft;

import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;
import dev.gyre.model.options.Unlisted;
import dev.gyre.model.weights.Site;
import org.jspecify.annotations.Nullable;

/// Options of OFT: rotations of the input by blocks.
///
/// @param blockSize PEFT's `oft_block_size`, moved to a divisor of the width; null when blocks is given
/// @param blocks PEFT's `r`, the number of blocks; null when blockSize is given
/// @param dropout share of the blocks replaced by the identity in training (multiplicative dropout as the paper means it;
///        PEFT's `module_dropout` has no effect)
/// @param initWeights start at the identity; otherwise normal with deviation 0.1
@OneOf.Case(value = "oft", doc = "OFTv2: rotates blocks of each layer's input features")
public record Oft(
        @Key(doc = "features in one block, moved to the nearest divisor (PEFT: oft_block_size); 32 unless blocks is given",
                def = "null", min = 1) @Nullable Integer blockSize,
        @Key(doc = "number of blocks in place of block_size (PEFT: r)", def = "null", min = 1) @Nullable Integer blocks,
        @Key(doc = "neumann (polynomial, no solve), exact (PEFT's other form; turns the other way), newton_schulz",
                def = "neumann") Cayley cayley,
        @Key(doc = "terms of the polynomial (PEFT: num_cayley_neumann_terms), iterations of newton_schulz", def = "5",
                min = 1, max = 64) int terms,
        @Key(doc = "one rotation for all blocks of a layer", def = "false") boolean blockShare,
        @Key(doc = "constrained OFT: keep each block within eps of the identity", def = "false") boolean coft,
        @Key(doc = "radius for coft", def = "6e-5", min = 1e-30) double eps,
        @Key(doc = "share of blocks replaced by the identity in training, as the paper means it (PEFT's has no effect)",
                def = "0", min = 0, max = 0.999) double dropout,
        @Key(doc = "input (OFTv2), or OFT v1 for comparison: weight_block, weight_dense", def = "input") Form form,
        @Key(doc = "start as the unchanged model; false: at random", def = "true") boolean initWeights,
        @Inline Targets targets) implements AdapterOptions {
    private static final int DEFAULT_BLOCK = 32;

    /// How a rotation follows from its skew parameters.
    public enum Cayley {
        NEUMANN,
        /// PEFT's: `(I - Q)(I + Q)^-1`.
        EXACT, NEWTON_SCHULZ,
        /// The polynomial of PEFT 0.16 and 0.17.
        @Unlisted
        NEUMANN_LEGACY,
        /// The paper's: `(I + Q)(I - Q)^-1`.
        @Unlisted
        EXACT_PLUS
    }

    /// Where the rotation is applied; the function is the same.
    public enum Form {
        /// OFTv2: the input is rotated, the weight stays frozen and untouched.
        INPUT,
        /// OFT v1 with the block structure used.
        WEIGHT_BLOCK,
        /// OFT v1: the weight is rotated every step by the dense d x d block-diagonal matrix, with a weight gradient.
        WEIGHT_DENSE
    }

    public Oft {
        if (blockSize != null && blocks != null)
            throw new Conflict("blocks", "block_size and blocks exclude each other; give one of them");
        if (blocks == null && blockSize == null)
            blockSize = DEFAULT_BLOCK;
        if (!(eps > 0))
            throw new Conflict("eps", "oft: eps " + eps + " is not positive");
        if (!(dropout >= 0 && dropout < 1))
            throw new Conflict("dropout", "oft: dropout " + dropout + " is outside 0 .. 1");
    }

    /// PEFT's defaults with block size `b`.
    public static Oft of(Targets targets, int b) {
        return new Oft(b, null, Cayley.NEUMANN, 5, false, false, 6e-5, 0, Form.INPUT, true, targets);
    }

    /// The same with `n` blocks, whatever their size.
    public Oft withBlocks(int n) {
        return new Oft(null, n, cayley, terms, blockShare, coft, eps, dropout, form, initWeights, targets);
    }

    public Oft withBlockSize(int b) {
        return new Oft(b, null, cayley, terms, blockShare, coft, eps, dropout, form, initWeights, targets);
    }

    /// @param t terms of the polynomial or iterations; of no meaning for the exact maps
    public Oft with(Cayley c, int t) {
        return new Oft(blockSize, blocks, c, t, blockShare, coft, eps, dropout, form, initWeights, targets);
    }

    public Oft with(Form f) {
        return new Oft(blockSize, blocks, cayley, terms, blockShare, coft, eps, dropout, f, initWeights, targets);
    }

    /// The same with one block for the whole width.
    public Oft shared() {
        return new Oft(blockSize, blocks, cayley, terms, true, coft, eps, dropout, form, initWeights, targets);
    }

    /// The same with blocks kept within `radius` of the identity.
    public Oft constrained(double radius) {
        return new Oft(blockSize, blocks, cayley, terms, blockShare, true, radius, dropout, form, initWeights, targets);
    }

    @Override
    public Oft with(Targets t) {
        return new Oft(blockSize, blocks, cayley, terms, blockShare, coft, eps, dropout, form, initWeights, t);
    }

    @Override
    public String title() {
        return form == Form.INPUT ? "oft" : "oft-v1";
    }

    @Override
    public String variant() {
        return (blocks == null ? "b=" + blockSize : "blocks=" + blocks) + switch (form) {
            case INPUT -> "";
            case WEIGHT_BLOCK -> ", v1 by blocks";
            case WEIGHT_DENSE -> ", v1 dense";
        };
    }

    /// How R follows from the stored skew blocks.
    public Orthogonal map() {
        return switch (cayley) {
            case NEUMANN -> Orthogonal.neumann(terms);
            case NEUMANN_LEGACY -> Orthogonal.of(Orthogonal.Form.NEUMANN_LEGACY, terms);
            case EXACT -> Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0);
            case EXACT_PLUS -> Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0);
            case NEWTON_SCHULZ -> Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, terms);
        };
    }

    /// Block size for a module of width d, by PEFT's rule: a size that does not divide d is moved to the nearest divisor,
    /// ties downwards.
    public int blockSize(int d) {
        if (blocks != null)
            return d / (d % blocks == 0 ? blocks : adjust(d, blocks));
        int b = blockSize == null ? DEFAULT_BLOCK : blockSize;
        return d % b == 0 ? b : adjust(d, b);
    }

    @Override
    public @Nullable String remark(Site site) {
        int d = site.in();
        int b = blockSize(d);
        if (blocks != null)
            return d / b == blocks ? null : "blocks: " + blocks + " -> " + d / b + " on inputs of width " + d;
        return blockSize == null || b == blockSize ? null
                : "block_size: " + blockSize + " -> " + b + " on inputs of width " + d;
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
