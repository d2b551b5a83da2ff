package dev.gyre.model.adapter.dora;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.OneOf;

/// Options of DoRA: those of LoRA, whose update it makes a change of direction.
@OneOf.Case(value = "dora", doc = "DoRA: LoRA changes the direction of each weight row, a trained magnitude its length")
public record Dora(@Inline Lora lora) implements AdapterOptions {

    /// Rank r with alpha = 2 r and PEFT's other defaults.
    public static Dora of(Targets targets, int r) {
        return new Dora(Lora.of(targets, r));
    }

    @Override
    public Targets targets() {
        return lora.targets();
    }

    @Override
    public Dora with(Targets t) {
        return new Dora(lora.with(t));
    }

    @Override
    public String variant() {
        return lora.variant();
    }
}
