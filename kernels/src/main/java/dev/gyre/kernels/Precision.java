package dev.gyre.kernels;

/// How the factors of large matrix products are rounded before they are multiplied; sums are in F32 always.
public enum Precision {
    /// Not at all.
    F32,
    /// To 10 bits of mantissa, as tensor cores do it on the way.
    TF32,
    /// To brain floats of 7 bits; the products are rounded so as well.
    BF16
}
