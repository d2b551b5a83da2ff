package dev.gyre.model.adapter.hra;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;

/// Options of HRA: a chain of r Householder reflections.
///
/// @param r number of reflections; an even number starts at the identity
/// @param gramSchmidt `apply_GS`: directions are orthonormalised
/// @param initWeights pairs of equal reflections; otherwise random directions
@OneOf.Case(value = "hra", doc = "HRA: a chain of Householder reflections")
public record Hra(@Key(doc = "number of reflections", def = "8", min = 1) int r,
        @Key(doc = "orthonormalise the directions (PEFT: apply_GS)", def = "false") boolean gramSchmidt,
        @Key(doc = "start as the unchanged model; false: at random", def = "true") boolean initWeights,
        @Inline Targets targets) implements AdapterOptions {

    public Hra {
        if (r < 1)
            throw new Conflict("r", "hra: " + r + " reflections; at least 1 is needed");
    }

    /// An even number of reflections that start as the identity.
    public static Hra of(Targets targets, int r) {
        return new Hra(r, false, true, targets);
    }

    @Override
    public Hra with(Targets t) {
        return new Hra(r, gramSchmidt, initWeights, t);
    }

    @Override
    public String variant() {
        return "r=" + r;
    }
}
