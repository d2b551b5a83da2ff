package dev.gyre.model.adapter.psoft;

import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;
import dev.gyre.model.options.Unlisted;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Options of PSOFT (MOFT): a rotation inside the principal subspace.
///
/// @param alpha `psoft_alpha`, of which null makes r
/// @param maxNorm `cayley_neumann_eps`; null for none
/// @param seed of the randomised SVD; in a run its own
@OneOf.Case(value = "psoft", doc = "PSOFT (MOFT): rotates inside the principal subspace of each weight")
public record Psoft(
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
        @Key(doc = "start as the unchanged model; false: at random", def = "true") boolean initWeights,
        @Inline(without = "bias") Targets targets,
        @Unlisted(def = "0") long seed) implements AdapterOptions {
    /// Which factors it starts from.
    public enum Factors {
        /// A has orthonormal rows, B takes all singular values.
        PSOFT,
        /// Both take the square roots.
        PISSA
    }

    public enum Svd {
        FULL, LOWRANK
    }

    /// How the rotation follows from its skew parameters.
    public enum Cayley {
        NEUMANN,
        /// `(I + Q)(I - Q)^-1`.
        EXACT, NEWTON_SCHULZ
    }

    public Psoft {
        if (r < 1)
            throw new Conflict("r", "psoft: rank " + r + " is below 1");
        if (!(dropout >= 0 && dropout < 1))
            throw new Conflict("dropout", "psoft: dropout " + dropout + " is outside 0 .. 1");
        if (maxNorm != null && cayley != Cayley.NEUMANN)
            throw new Conflict("max_norm", "max_norm belongs to cayley: neumann");
        if (alpha == null)
            alpha = (double) r;
    }

    /// PEFT's defaults with alpha = r.
    public static Psoft of(Targets targets, int r) {
        return new Psoft(r, null, 0, Factors.PSOFT, Svd.FULL, 10, true, true, true, Cayley.EXACT, 5, null, true,
                targets,
                0);
    }

    /// @param t terms of the polynomial or iterations; of no meaning for the exact map
    /// @param norm largest norm of Q with [Cayley#NEUMANN]; null for none
    public Psoft with(Cayley c, int t, @Nullable Double norm) {
        return new Psoft(r, alpha, dropout, factors, svd, svdIterations, orthogonal, magnitudeA, magnitudeB, c, t, norm,
                initWeights, targets, seed);
    }

    /// @param iterations power iterations of [Svd#LOWRANK]
    public Psoft with(Svd s, int iterations) {
        return new Psoft(r, alpha, dropout, factors, s, iterations, orthogonal, magnitudeA, magnitudeB, cayley, terms,
                maxNorm, initWeights, targets, seed);
    }

    /// @param isRotation whether R is a rotation; otherwise a free matrix
    public Psoft with(boolean isRotation, boolean trainsA, boolean trainsB) {
        return new Psoft(r, alpha, dropout, factors, svd, svdIterations, isRotation, trainsA, trainsB, cayley, terms,
                maxNorm, initWeights, targets, seed);
    }

    /// @param a `psoft_alpha`
    /// @param p dropout
    public Psoft with(Factors f, double a, double p) {
        return new Psoft(r, a, p, f, svd, svdIterations, orthogonal, magnitudeA, magnitudeB, cayley, terms, maxNorm,
                initWeights, targets, seed);
    }

    @Override
    public Psoft with(Targets t) {
        return new Psoft(r, alpha, dropout, factors, svd, svdIterations, orthogonal, magnitudeA, magnitudeB, cayley,
                terms, maxNorm, initWeights, t, seed);
    }

    @Override
    public Psoft inRun(long s, long steps) {
        return new Psoft(r, alpha, dropout, factors, svd, svdIterations, orthogonal, magnitudeA, magnitudeB, cayley,
                terms, maxNorm, initWeights, targets, s);
    }

    @Override
    public String variant() {
        return "r=" + r;
    }

    double scale() {
        return Objects.requireNonNull(alpha) / r;
    }

    /// How R follows from the skew vector.
    public Orthogonal map() {
        return switch (cayley) {
            case NEUMANN ->
                    new Orthogonal(Orthogonal.Form.NEUMANN, terms, maxNorm == null ? 0 : maxNorm,
                            Orthogonal.Skew.PACKED);
            case EXACT -> Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0);
            case NEWTON_SCHULZ -> Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, terms);
        };
    }
}
