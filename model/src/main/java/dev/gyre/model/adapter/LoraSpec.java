package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/// LoRA.
///
/// @param r rank
/// @param alpha numerator of the scale `alpha / r`
/// @param dropout of the adapter's input
/// @param rsLora scale `alpha / sqrt(r)`
/// @param gaussianInit A normal with deviation 1/r instead of uniform in +-1/sqrt(in)
/// @param initWeights B starts at zero; otherwise at random too
/// @param rankPattern ranks of single modules, by name or regular expression as PEFT matches them; the first that
///     matches counts
/// @param alphaPattern the same for alpha
public record LoraSpec(Targets targets, int r, double alpha, double dropout, boolean rsLora, boolean gaussianInit,
        boolean initWeights, Map<String, Integer> rankPattern, Map<String, Double> alphaPattern)
        implements
        AdapterSpec {
    public LoraSpec {
        if (r < 1)
            throw new InputException("lora: rank " + r + " is below 1");
        if (!(dropout >= 0 && dropout < 1))
            throw new InputException("lora: dropout " + dropout + " is outside 0 .. 1");
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
    }

    /// Rank r with alpha = 2 r and PEFT's other defaults.
    public static LoraSpec of(Targets targets, int r) {
        return new LoraSpec(targets, r, 2.0 * r, 0, false, false, true, Map.of(), Map.of());
    }

    @Override
    public String method() {
        return "lora";
    }

    @Override
    public LoraSpec with(Targets t) {
        return new LoraSpec(t, r, alpha, dropout, rsLora, gaussianInit, initWeights, rankPattern, alphaPattern);
    }

    int rank(String module) {
        return match(rankPattern, module, r);
    }

    double scale(String module) {
        int rank = rank(module);
        double a = match(alphaPattern, module, alpha);
        return rsLora ? a / Math.sqrt(rank) : a / rank;
    }

    /// The first entry whose key, as a regular expression, matches the module path or a suffix of it after a dot.
    private static <T> T match(Map<String, T> pattern, String module, T otherwise) {
        for (Map.Entry<String, T> e : pattern.entrySet())
            if (module.matches("(.*\\.)?(" + e.getKey() + ")$"))
                return e.getValue();
        return otherwise;
    }
}
