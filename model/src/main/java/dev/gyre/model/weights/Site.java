package dev.gyre.model.weights;

/// Place and shape of one linear layer `y = x W^T (+ bias)`, W stored as (out, in).
///
/// @param path module path in the causal-LM model, e.g. `model.layers.0.self_attn.q_proj`
public record Site(String path, int in, int out, boolean bias) {
    /// What the paths of all modules of decoder layers start with.
    public static final String LAYERS = "model.layers.";

    /// Whether a tensor belongs to one of the layers, of a decoder or of an encoder.
    public static boolean inLayer(String name) {
        return name.startsWith(LAYERS) || name.startsWith("layers.") || name.contains(".layers.")
                || name.contains(".layer.") || name.startsWith("encoder.layer.")
                || name.startsWith("transformer.layer.");
    }

    /// Name of its weight's tensor.
    public String weight() {
        return path + ".weight";
    }
}
