package dev.gyre.model.adapter.givens;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;

/// Options of GOFT: d-1 Givens rotations.
@OneOf.Case(value = "goft", doc = "GOFT: Givens rotations in a tournament over each layer's input features")
public record Goft(@Key(doc = "also train a factor per feature", def = "true") boolean scaler,
        @Inline(without = "bias") Targets targets) implements AdapterOptions {

    @Override
    public Goft with(Targets t) {
        return new Goft(scaler, t);
    }

    @Override
    public String variant() {
        return scaler ? "scaled" : "strict";
    }
}
