package dev.gyre.model.format;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The method fields of an adapter_config.json; names and defaults are PEFT's.
public sealed interface PeftMethod {
    /// `peft_type` in the file.
    String type();

    /// Names that parameters have below their module.
    List<String> parameters();

    /// @param r number of blocks, 0 if the block size is given
    /// @param blockSize `oft_block_size`, 0 if the number of blocks is given; as asked for, before it is moved to a divisor
    /// @param moduleDropout has no effect in PEFT
    /// @param useCayleyNeumann the polynomial; false means the exact map, which turns the other way
    record Oft(int r, int blockSize, double moduleDropout, boolean coft, double eps, boolean blockShare,
            boolean useCayleyNeumann, int numCayleyNeumannTerms) implements PeftMethod {
        @Override
        public String type() {
            return "OFT";
        }

        @Override
        public List<String> parameters() {
            return List.of("oft_R.weight", "oft_embedding_R.weight");
        }
    }

    /// @param abSvdInit "psoft_init" or "pissa_init"
    /// @param svd "full" or "lowrank"
    /// @param cayleyNeumannEps 0 for none
    record Psoft(int r, double alpha, double dropout, String abSvdInit, String svd, int svdLowrankNiter,
            long randomSeed, boolean orth, boolean magA, boolean magB, boolean useCayleyNeumann,
            int numCayleyNeumannTerms, double cayleyNeumannEps) implements PeftMethod {
        @Override
        public String type() {
            return "PSOFT";
        }

        @Override
        public List<String> parameters() {
            return List.of("psoft_R.weight", "psoft_R.vector_a", "psoft_R.vector_b");
        }
    }

    /// @param blockSize 0 if the number of blocks is given
    /// @param blockNum 0 if the block size is given
    record Boft(int blockSize, int blockNum, int nButterflyFactor, double dropout) implements PeftMethod {
        @Override
        public String type() {
            return "BOFT";
        }

        @Override
        public List<String> parameters() {
            return List.of("boft_R", "boft_s");
        }
    }

    /// @param applyGs `apply_GS`
    record Hra(int r, boolean applyGs) implements PeftMethod {
        @Override
        public String type() {
            return "HRA";
        }

        @Override
        public List<String> parameters() {
            return List.of("hra_u");
        }
    }

    /// @param gaussianInit `init_lora_weights` is "gaussian"
    /// @param rankPattern in the file's order: the first that matches a module counts
    /// @param alphaPattern the same
    record Lora(int r, double alpha, double dropout, boolean useRslora, boolean gaussianInit,
            Map<String, Integer> rankPattern, Map<String, Double> alphaPattern, boolean loraBias)
            implements
            PeftMethod {
        public Lora {
            rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
            alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        }

        @Override
        public String type() {
            return "LORA";
        }

        @Override
        public List<String> parameters() {
            return List.of("lora_A.weight", "lora_B.weight", "lora_B.bias");
        }
    }

    /// GOFT and qGOFT have no place in PEFT: the type is ours, field and parameter names are those of the published
    /// Givens layer.
    ///
    /// @param strict `strict_oft`: rotations (GOFT); otherwise free 2x2 matrices (qGOFT)
    record Goft(boolean strict, boolean noScaling) implements PeftMethod {
        @Override
        public String type() {
            return "GOFT";
        }

        @Override
        public List<String> parameters() {
            return List.of("givens_hard", "givens_soft", "givens_scaler");
        }
    }
}
