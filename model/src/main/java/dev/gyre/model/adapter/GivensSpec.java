package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;

/// GOFT (strict) and qGOFT: d-1 Givens rotations.
///
/// @param strict true rotations; otherwise free 2x2 matrices
/// @param scaler whether GOFT trains a factor per feature
/// @param penalty lambda of qGOFT's soft orthogonality
public record GivensSpec(Targets targets, boolean strict, boolean scaler, double penalty) implements AdapterSpec {
    public GivensSpec {
        if (!(penalty >= 0))
            throw new InputException("qgoft: penalty " + penalty + " is negative");
    }

    /// Rotations with a trained factor per feature.
    public static GivensSpec goft(Targets targets) {
        return new GivensSpec(targets, true, true, 0);
    }

    /// Free 2x2 matrices, drawn towards orthogonality by `penalty`.
    public static GivensSpec qgoft(Targets targets, double penalty) {
        return new GivensSpec(targets, false, false, penalty);
    }

    @Override
    public String method() {
        return strict ? "goft" : "qgoft";
    }

    @Override
    public GivensSpec with(Targets t) {
        return new GivensSpec(t, strict, scaler, penalty);
    }
}
