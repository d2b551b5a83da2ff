package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Orthogonal;

/// PSOFT (MOFT): rotation inside the principal subspace.
///
/// @param r size of the subspace
/// @param alpha `psoft_alpha`; the scale is alpha / r
/// @param dropout of the adapter's input
/// @param init factors from the SVD
/// @param svd how the leading triplets are found
/// @param lowrankIterations power iterations of [Svd#LOWRANK]
/// @param seed of the randomised SVD
/// @param orthogonal whether R is a rotation; otherwise a free matrix
/// @param magnitudeA whether the input-side vector is trained
/// @param magnitudeB whether the output-side vector is trained
/// @param map how R follows from the skew vector
/// @param initWeights start at the identity
public record PsoftSpec(Targets targets, int r, double alpha, double dropout, Init init, Svd svd, int lowrankIterations,
        long seed, boolean orthogonal, boolean magnitudeA, boolean magnitudeB, Orthogonal map, boolean initWeights)
        implements
        AdapterSpec {
    public enum Init {
        /// A has orthonormal rows, B takes all singular values.
        PSOFT,
        /// Both take the square roots.
        PISSA
    }

    public enum Svd {
        FULL, LOWRANK
    }

    public PsoftSpec {
        if (r < 1)
            throw new InputException("psoft: rank " + r + " is below 1");
        if (!(dropout >= 0 && dropout < 1))
            throw new InputException("psoft: dropout " + dropout + " is outside 0 .. 1");
    }

    /// PEFT's defaults with alpha = r.
    public static PsoftSpec of(Targets targets, int r) {
        return new PsoftSpec(targets, r, r, 0, Init.PSOFT, Svd.FULL, 10, 0, true, true, true,
                Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0), true);
    }

    @Override
    public String method() {
        return "psoft";
    }

    @Override
    public PsoftSpec with(Targets t) {
        return new PsoftSpec(t, r, alpha, dropout, init, svd, lowrankIterations, seed, orthogonal, magnitudeA,
                magnitudeB,
                map, initWeights);
    }

    double scale() {
        return alpha / r;
    }
}
