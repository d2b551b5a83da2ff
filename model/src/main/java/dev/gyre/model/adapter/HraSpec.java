package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;

/// HRA: a chain of r Householder reflections.
///
/// @param r number of reflections; an even number starts at the identity
/// @param gramSchmidt `apply_GS`: directions are orthonormalised
/// @param initWeights pairs of equal reflections; otherwise random directions
public record HraSpec(Targets targets, int r, boolean gramSchmidt, boolean initWeights) implements AdapterSpec {
    public HraSpec {
        if (r < 1)
            throw new InputException("hra: " + r + " reflections; at least 1 is needed");
    }

    /// An even number of reflections that start as the identity.
    public static HraSpec of(Targets targets, int r) {
        return new HraSpec(targets, r, false, true);
    }

    @Override
    public String method() {
        return "hra";
    }

    @Override
    public HraSpec with(Targets t) {
        return new HraSpec(t, r, gramSchmidt, initWeights);
    }
}
