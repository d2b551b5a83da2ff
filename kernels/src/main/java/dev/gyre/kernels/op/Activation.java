package dev.gyre.kernels.op;

/// A function that is applied to every element. [ActivationOps] computes them.
public enum Activation {
    /// `x Phi(x)` with the normal distribution function `Phi(x) = (1 + erf(x / sqrt 2)) / 2`.
    GELU,
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
    GELU_TANH,
    /// `x / (1 + exp(-x))`.
    SILU, TANH, RELU
}
