package dev.gyre.model.family;

import java.util.List;

/// The model families that Gyre reads, one line each.
public final class Families {
    private static final List<Family> ALL = List.of(
            new Gemma2(),
            new Gemma3(),
            new Granite(),
            new Llama(),
            new Mistral(),
            new Olmo2(),
            new Phi3(),
            new Qwen2(),
            new Qwen3(),
            new SmolLm3());

    private Families() {
    }

    public static List<Family> all() {
        return ALL;
    }
}
