package dev.gyre.model.weights;

/// How frozen weights are held in memory.
public enum Storage {
    /// As the files have them.
    AS_STORED,
    F32,
    BF16,
    /// 4-bit NormalFloat with a maximum per 64 weights.
    NF4,
    /// The same with the maxima quantised to 8 bits.
    NF4_DOUBLE
}
