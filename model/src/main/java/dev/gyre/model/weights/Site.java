package dev.gyre.model.weights;

/// Place and shape of one linear layer `y = x W^T (+ bias)`, W stored as (out, in).
///
/// @param path module path in the causal-LM model, e.g. `model.layers.0.self_attn.q_proj`
public record Site(String path, int in, int out, boolean bias) {
    /// What the paths of all modules of decoder layers start with.
    public static final String LAYERS = "model.layers.";

    /// Name of its weight's tensor.
    public String weight() {
        return path + ".weight";
    }
}
