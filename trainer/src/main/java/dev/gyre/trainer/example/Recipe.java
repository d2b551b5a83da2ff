package dev.gyre.trainer.example;

import java.util.List;

/// A method as the examples use it.
///
/// @param adapter section `adapter` of run.yaml
/// @param lr peak learning rate
public record Recipe(String name, String adapter, double lr) {
    /// For a text encoder of width 384.
    public static final List<Recipe> TEXT = List.of(
            new Recipe("oft", "{method: oft, block_size: 32, cayley: newton_schulz, terms: 6}", 2e-3),
            new Recipe("lora", "{method: lora, r: 16, alpha: 32}", 1e-3),
            new Recipe("psoft", "{method: psoft, r: 64}", 2e-3),
            new Recipe("qgoft", "{method: qgoft}", 4e-3),
            new Recipe("full", "{method: full}", 1e-4));

    /// For a vision transformer of width 96.
    public static final List<Recipe> IMAGES = List.of(
            new Recipe("oft", "{method: oft, block_size: 32, cayley: newton_schulz, terms: 6}", 4e-3),
            new Recipe("lora", "{method: lora, r: 8, alpha: 16}", 2e-3),
            new Recipe("psoft", "{method: psoft, r: 32}", 4e-3),
            new Recipe("qgoft", "{method: qgoft, penalty: 0.05}", 3e-3),
            new Recipe("full", "{method: full}", 1e-3));
}
