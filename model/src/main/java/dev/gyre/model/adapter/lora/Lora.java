package dev.gyre.model.adapter.lora;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;
import dev.gyre.model.options.Unlisted;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Options of LoRA.
///
/// @param r rank
/// @param alpha numerator of the scale `alpha / r`, of which null makes 2 r
/// @param dropout of the adapter's input
/// @param rslora scale `alpha / sqrt(r)`
/// @param gaussian A normal with deviation 1/r instead of uniform in +-1/sqrt(in)
/// @param initWeights B starts at zero; otherwise at random too
/// @param rankPattern ranks of single modules, by name or regular expression as PEFT matches them; the first that
///     matches counts
/// @param alphaPattern the same for alpha
/// @param bias B has a bias (`lora_bias`)
/// @param start how PEFT changed the base weights at the start
@OneOf.Case(value = "lora", doc = "LoRA: adds a product of two thin matrices")
public record Lora(@Key(doc = "rank", def = "16", min = 1) int r,
        @Key(doc = "scale is alpha / r (PEFT: lora_alpha); 2 r when absent", def = "null",
                min = 1e-30) @Nullable Double alpha,
        @Key(doc = "dropout of the adapter's input (PEFT: lora_dropout)", def = "0", min = 0,
                max = 0.999) double dropout,
        @Key(doc = "scale alpha / sqrt(r) (PEFT: use_rslora)", def = "false") boolean rslora,
        @Key(doc = "A normal with deviation 1/r; false: uniform, PEFT's default", def = "false") boolean gaussian,
        @Key(doc = "start as the unchanged model; false: at random", def = "true") boolean initWeights,
        @Key(doc = "ranks of single modules, {name: rank}", def = "{}", min = 1) Map<String, Integer> rankPattern,
        @Key(doc = "alphas of single modules, {name: alpha}", def = "{}",
                min = 1e-30) Map<String, Double> alphaPattern,
        @Inline Targets targets, @Unlisted(def = "false") boolean bias,
        @Unlisted(def = "none") Start start) implements AdapterOptions {

    /// PEFT's starts that take the first update out of the base weight W, so that an adapter goes with W - s B0 A0:
    /// PISSA with `s B0 A0 = U_r S_r V_r^T`, the leading singular triplets of W; OLORA with `B0 = Q_r`, `A0 = R_r` of
    /// `W = Q R`.
    public enum Start {
        NONE, PISSA, OLORA
    }

    public Lora(int r, @Nullable Double alpha, double dropout, boolean rslora, boolean gaussian, boolean initWeights,
            Map<String, Integer> rankPattern, Map<String, Double> alphaPattern, Targets targets) {
        this(r, alpha, dropout, rslora, gaussian, initWeights, rankPattern, alphaPattern, targets, false, Start.NONE);
    }

    public Lora {
        if (r < 1)
            throw new Conflict("r", "lora: rank " + r + " is below 1");
        if (!(dropout >= 0 && dropout < 1))
            throw new Conflict("dropout", "lora: dropout " + dropout + " is outside 0 .. 1");
        if (alpha == null)
            alpha = 2.0 * r;
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
    }

    /// Rank r with alpha = 2 r and PEFT's other defaults.
    public static Lora of(Targets targets, int r) {
        return of(targets, r, 2.0 * r);
    }

    public static Lora of(Targets targets, int r, double alpha) {
        return new Lora(r, alpha, 0, false, false, true, Map.of(), Map.of(), targets);
    }

    @Override
    public Lora with(Targets t) {
        return new Lora(r, alpha, dropout, rslora, gaussian, initWeights, rankPattern, alphaPattern, t, bias,
                start);
    }

    /// @param p dropout
    public Lora with(double p) {
        return new Lora(r, alpha, p, rslora, gaussian, initWeights, rankPattern, alphaPattern, targets, bias,
                start);
    }

    @Override
    public String variant() {
        return "r=" + r;
    }

    @Override
    public Map<String, Set<String>> patterns() {
        return Map.of("rank_pattern", rankPattern.keySet(), "alpha_pattern", alphaPattern.keySet());
    }

    /// Rank on one module.
    public int rank(String module) {
        return match("rank_pattern", rankPattern, module, r);
    }

    /// Factor of the update of one module.
    public double scale(String module) {
        int rank = rank(module);
        double a = match("alpha_pattern", alphaPattern, module, Objects.requireNonNull(alpha));
        return rslora ? a / Math.sqrt(rank) : a / rank;
    }

    /// The first entry whose key, as a regular expression, matches the module path or a suffix of it after a dot.
    private static <T> T match(String key, Map<String, T> pattern, String module, T otherwise) {
        for (Map.Entry<String, T> e : pattern.entrySet())
            if (Targets.matchesEnd(key, e.getKey(), module))
                return e.getValue();
        return otherwise;
    }
}
