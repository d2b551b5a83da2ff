package dev.gyre.trainer.config;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What is trained: the adapter of one method, or all weights. Options carry PEFT's meaning; where its name differs from
/// ours, the key's documentation says so.
@OneOf(value = "method", doc = "how to fine-tune")
public sealed interface AdapterConfig {
    String TARGETS = "adapted modules: names, a regular expression for the whole path, or all-linear";
    String EXCLUDE = "modules left out, in the same forms";
    String BIAS = "biases trained as well: none, adapted (of adapted modules), all";
    String LAYERS = "layer numbers to adapt; empty: all";
    String INIT = "start as the unchanged model; false: at random";

    /// An adapter of some modules: every method but [Full].
    sealed interface OnModules extends AdapterConfig permits Oft, Psoft, Goft, Qgoft, Lora, Boft, Hra {
        Names targets();

        @Nullable
        Names exclude();

        List<Integer> layers();

        default Bias bias() {
            return Bias.NONE;
        }
    }

    /// Biases trained beside the adapter.
    enum Bias {
        NONE, ADAPTED, ALL
    }

    /// How a rotation follows from its skew parameters.
    enum Cayley {
        NEUMANN, EXACT, NEWTON_SCHULZ
    }

    /// Where OFT's rotation is applied.
    enum Form {
        INPUT, WEIGHT_BLOCK, WEIGHT_DENSE
    }

    @OneOf.Case(value = "oft", doc = "OFTv2: rotates blocks of each layer's input features")
    record Oft(
            @Key(doc = "features in one block, moved to the nearest divisor (PEFT: oft_block_size); 32 unless blocks is given",
                    def = "null", min = 1) @Nullable Integer blockSize,
            @Key(doc = "number of blocks in place of block_size (PEFT: r)", def = "null",
                    min = 1) @Nullable Integer blocks,
            @Key(doc = "neumann (polynomial, no solve), exact (PEFT's other form; turns the other way), newton_schulz",
                    def = "neumann") Cayley cayley,
            @Key(doc = "terms of the polynomial (PEFT: num_cayley_neumann_terms), iterations of newton_schulz",
                    def = "5", min = 1, max = 64) int terms,
            @Key(doc = "one rotation for all blocks of a layer", def = "false") boolean blockShare,
            @Key(doc = "constrained OFT: keep each block within eps of the identity", def = "false") boolean coft,
            @Key(doc = "radius for coft", def = "6e-5", min = 1e-30) double eps,
            @Key(doc = "share of blocks replaced by the identity in training, as the paper means it (PEFT's has no effect)",
                    def = "0", min = 0, max = 0.999) double dropout,
            @Key(doc = "input (OFTv2), or OFT v1 for comparison: weight_block, weight_dense", def = "input") Form form,
            @Key(doc = INIT, def = "true") boolean initWeights,
            @Key(doc = TARGETS, def = "all-linear") Names targets,
            @Key(doc = EXCLUDE, def = "null") @Nullable Names exclude,
            @Key(doc = BIAS, def = "none") Bias bias,
            @Key(doc = LAYERS, def = "[]", min = 0) List<Integer> layers) implements OnModules {
        public Oft {
            layers = checked(targets, layers);
            if (blockSize != null && blocks != null)
                throw new Conflict("blocks", "block_size and blocks exclude each other; give one of them");
            if (blocks == null && blockSize == null)
                blockSize = 32;
        }
    }

    /// Which factors PSOFT starts from.
    enum Factors {
        PSOFT, PISSA
    }

    enum Svd {
        FULL, LOWRANK
    }

    @OneOf.Case(value = "psoft", doc = "PSOFT (MOFT): rotates inside the principal subspace of each weight")
    record Psoft(
            @Key(doc = "size of the subspace", def = "32", min = 1) int r,
            @Key(doc = "scale is alpha / r (PEFT: psoft_alpha); r when absent", def = "null",
                    min = 1e-30) @Nullable Double alpha,
            @Key(doc = "dropout of the adapter's input (PEFT: psoft_dropout)", def = "0", min = 0,
                    max = 0.999) double dropout,
            @Key(doc = "psoft: orthonormal rows, all singular values on the other side; pissa: square roots on both",
                    def = "psoft") Factors factors,
            @Key(doc = "full (exact) or lowrank (randomised) leading singular triplets", def = "full") Svd svd,
            @Key(doc = "power iterations of the lowrank search", def = "10", min = 0) int svdIterations,
            @Key(doc = "a rotation; false: a free matrix (PEFT: psoft_orth)", def = "true") boolean orthogonal,
            @Key(doc = "train a factor per input direction (PEFT: psoft_mag_a)", def = "true") boolean magnitudeA,
            @Key(doc = "train a factor per output direction (PEFT: psoft_mag_b)", def = "true") boolean magnitudeB,
            @Key(doc = "exact (a solve), neumann or newton_schulz", def = "exact") Cayley cayley,
            @Key(doc = "terms of the polynomial, iterations of newton_schulz", def = "5", min = 1, max = 64) int terms,
            @Key(doc = "with neumann: largest norm of Q, which is scaled down to it (PEFT: cayley_neumann_eps)",
                    def = "null", min = 1e-30, max = 1) @Nullable Double maxNorm,
            @Key(doc = INIT, def = "true") boolean initWeights,
            @Key(doc = TARGETS, def = "all-linear") Names targets,
            @Key(doc = EXCLUDE, def = "null") @Nullable Names exclude,
            @Key(doc = LAYERS, def = "[]", min = 0) List<Integer> layers) implements OnModules {
        public Psoft {
            layers = checked(targets, layers);
            if (maxNorm != null && cayley != Cayley.NEUMANN)
                throw new Conflict("max_norm", "max_norm belongs to cayley: neumann");
            if (alpha == null)
                alpha = (double) r;
        }
    }

    @OneOf.Case(value = "goft", doc = "GOFT: Givens rotations in a tournament over each layer's input features")
    record Goft(
            @Key(doc = "also train a factor per feature", def = "true") boolean scaler,
            @Key(doc = TARGETS, def = "all-linear") Names targets,
            @Key(doc = EXCLUDE, def = "null") @Nullable Names exclude,
            @Key(doc = LAYERS, def = "[]", min = 0) List<Integer> layers) implements OnModules {
        public Goft {
            layers = checked(targets, layers);
        }
    }

    @OneOf.Case(value = "qgoft", doc = "qGOFT: GOFT with free 2x2 matrices in place of rotations")
    record Qgoft(
            @Key(doc = "weight of the soft orthogonality penalty", def = "0", min = 0) double penalty,
            @Key(doc = TARGETS, def = "all-linear") Names targets,
            @Key(doc = EXCLUDE, def = "null") @Nullable Names exclude,
            @Key(doc = LAYERS, def = "[]", min = 0) List<Integer> layers) implements OnModules {
        public Qgoft {
            layers = checked(targets, layers);
        }
    }

    @OneOf.Case(value = "lora", doc = "LoRA: adds a product of two thin matrices")
    record Lora(
            @Key(doc = "rank", def = "16", min = 1) int r,
            @Key(doc = "scale is alpha / r (PEFT: lora_alpha); 2 r when absent", def = "null",
                    min = 1e-30) @Nullable Double alpha,
            @Key(doc = "dropout of the adapter's input (PEFT: lora_dropout)", def = "0", min = 0,
                    max = 0.999) double dropout,
            @Key(doc = "scale alpha / sqrt(r) (PEFT: use_rslora)", def = "false") boolean rslora,
            @Key(doc = "A normal with deviation 1/r; false: uniform, PEFT's default", def = "false") boolean gaussian,
            @Key(doc = INIT, def = "true") boolean initWeights,
            @Key(doc = "ranks of single modules, {name: rank}", def = "{}", min = 1) Map<String, Integer> rankPattern,
            @Key(doc = "alphas of single modules, {name: alpha}", def = "{}",
                    min = 1e-30) Map<String, Double> alphaPattern,
            @Key(doc = TARGETS, def = "all-linear") Names targets,
            @Key(doc = EXCLUDE, def = "null") @Nullable Names exclude,
            @Key(doc = BIAS, def = "none") Bias bias,
            @Key(doc = LAYERS, def = "[]", min = 0) List<Integer> layers) implements OnModules {
        public Lora {
            layers = checked(targets, layers);
            if (alpha == null)
                alpha = 2.0 * r;
        }
    }

    @OneOf.Case(value = "boft", doc = "BOFT: butterfly products of block rotations")
    record Boft(
            @Key(doc = "features in one block (PEFT: boft_block_size); 4 unless blocks is given", def = "null",
                    min = 2) @Nullable Integer blockSize,
            @Key(doc = "number of blocks in place of block_size (PEFT: boft_block_num)", def = "null",
                    min = 1) @Nullable Integer blocks,
            @Key(doc = "butterfly factors (PEFT: boft_n_butterfly_factor)", def = "1", min = 1) int factors,
            @Key(doc = "share of blocks replaced by the identity in training (PEFT: boft_dropout)", def = "0", min = 0,
                    max = 0.999) double dropout,
            @Key(doc = INIT, def = "true") boolean initWeights,
            @Key(doc = TARGETS, def = "all-linear") Names targets,
            @Key(doc = EXCLUDE, def = "null") @Nullable Names exclude,
            @Key(doc = BIAS, def = "none") Bias bias,
            @Key(doc = LAYERS, def = "[]", min = 0) List<Integer> layers) implements OnModules {
        public Boft {
            layers = checked(targets, layers);
            if (blockSize != null && blocks != null)
                throw new Conflict("blocks", "block_size and blocks exclude each other; give one of them");
            if (blocks == null && blockSize == null)
                blockSize = 4;
        }
    }

    @OneOf.Case(value = "hra", doc = "HRA: a chain of Householder reflections")
    record Hra(
            @Key(doc = "number of reflections", def = "8", min = 1) int r,
            @Key(doc = "orthonormalise the directions (PEFT: apply_GS)", def = "false") boolean gramSchmidt,
            @Key(doc = INIT, def = "true") boolean initWeights,
            @Key(doc = TARGETS, def = "all-linear") Names targets,
            @Key(doc = EXCLUDE, def = "null") @Nullable Names exclude,
            @Key(doc = BIAS, def = "none") Bias bias,
            @Key(doc = LAYERS, def = "[]", min = 0) List<Integer> layers) implements OnModules {
        public Hra {
            layers = checked(targets, layers);
        }
    }

    @OneOf.Case(value = "full", doc = "full fine-tuning: every weight, the upper baseline")
    record Full() implements AdapterConfig {
    }

    private static List<Integer> checked(Names targets, List<Integer> layers) {
        if (!layers.isEmpty() && targets.pattern() != null && !targets.pattern().equals("all-linear"))
            throw new Conflict("layers",
                    "layers needs targets as a list or all-linear; a regular expression names its layers itself");
        return List.copyOf(layers);
    }
}
