package dev.gyre.trainer.config;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// What is trained: the adapter of one method, or all weights.
@OneOf(value = "method", doc = "how to fine-tune")
public sealed interface AdapterConfig {
    /// Which modules are adapted; meaningless for [Full].
    default Names targets() {
        return new Names(List.of(), "all-linear");
    }

    default @Nullable Names exclude() {
        return null;
    }

    default List<Integer> layers() {
        return List.of();
    }

    enum Cayley {
        NEUMANN, EXACT, NEWTON_SCHULZ
    }

    @OneOf.Case(value = "oft", doc = "OFTv2: rotates blocks of each layer's input features")
    record Oft(
            @Key(doc = "features in one rotated block; adjusted to the nearest divisor; 32 unless `blocks` is given", def = "null", min = 1) @Nullable Integer blockSize,
            @Key(doc = "number of blocks in place of block_size (PEFT's `r`)", def = "null", min = 1) @Nullable Integer blocks,
            @Key(doc = "rotation from the skew parameters: neumann (polynomial, no solve), exact (PEFT's other form, turns the other way), newton_schulz", def = "neumann") Cayley cayley,
            @Key(doc = "terms of the Neumann polynomial (PEFT's num_cayley_neumann_terms), iterations of newton_schulz", def = "5", min = 1, max = 64) int terms,
            @Key(doc = "one rotation shared by all blocks of a layer", def = "false") boolean blockShare,
            @Key(doc = "constrained OFT: keep each block within eps of the identity", def = "false") boolean coft,
            @Key(doc = "radius for coft", def = "6e-5", min = 0) double eps,
            @Key(doc = "adapted modules: names, a regular expression for the whole path, or all-linear", def = "all-linear") Names targets,
            @Key(doc = "modules left out, in the same forms", def = "null") @Nullable Names exclude,
            @Key(doc = "layer numbers to adapt; empty: all", def = "[]", min = 0) List<Integer> layers) implements AdapterConfig {
        public Oft {
            layers = List.copyOf(layers);
            if (blockSize != null && blocks != null)
                throw new Conflict("blocks", "block_size and blocks exclude each other; give one of them");
            if (blocks == null && blockSize == null)
                blockSize = 32;
            if (!layers.isEmpty() && targets.pattern() != null && !targets.pattern().equals("all-linear"))
                throw new Conflict("layers",
                        "layers needs targets as a list or all-linear; a regular expression names its layers itself");
        }
    }

    @OneOf.Case(value = "full", doc = "full fine-tuning: every weight, the upper baseline")
    record Full() implements AdapterConfig {
    }
}
