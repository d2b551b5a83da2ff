package dev.gyre.model.adapter;

/// What a user asks for: the method with its options, and the modules it goes on.
public sealed interface AdapterSpec permits OftSpec, LoraSpec, PsoftSpec, GivensSpec, BoftSpec, HraSpec {
    Targets targets();

    /// Name as users write it: `oft`, `oft-v1`, `lora`, `psoft`, `goft`, `qgoft`, `boft`, `hra`.
    String method();

    /// The same method on other modules.
    AdapterSpec with(Targets targets);
}
