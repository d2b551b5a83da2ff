package dev.gyre.model.adapter.givens;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;

/// Options of qGOFT: GOFT with d-1 free 2x2 matrices.
///
/// @param penalty lambda of the soft orthogonality, which draws the matrices towards rotations
@OneOf.Case(value = "qgoft", doc = "qGOFT: GOFT with free 2x2 matrices in place of rotations")
public record Qgoft(@Key(doc = "weight of the soft orthogonality penalty", def = "0", min = 0) double penalty,
        @Inline(without = "bias") Targets targets) implements AdapterOptions {

    public Qgoft {
        if (!(penalty >= 0))
            throw new Conflict("penalty", "qgoft: penalty " + penalty + " is negative");
    }

    @Override
    public Qgoft with(Targets t) {
        return new Qgoft(penalty, t);
    }

    @Override
    public String variant() {
        return "relaxed";
    }
}
