package dev.gyre.kernels.cpu;

/// Which arithmetic the CPU backend uses. The system property `gyre.simd` (`scalar`, `128`, `256`, `512`, `auto`)
/// says what AUTO means, and how wide VECTOR is.
public enum SimdChoice {
    /// The Vector API where the JVM offers it, else plain loops.
    AUTO,
    /// Plain loops.
    SCALAR,
    /// The Vector API; an error where it is missing.
    VECTOR
}
