package dev.gyre.kernels;

/// How the factors of large matrix products are rounded before they are multiplied; sums are always in F32.
public enum Precision {
    /// Not rounded.
    F32,
    /// To 10 bits of mantissa, as tensor cores do on loading.
    TF32,
    /// To bfloat16, 7 bits of mantissa.
    BF16
}
