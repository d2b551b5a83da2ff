package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Activation;

/// Arithmetic on slices, see [Simd]: activation functions and the cap on attention's scores.
interface SimdActivations {
    /// Beyond this tanh is 1 in F32.
    float TANH_ONE = 7.90531110763549805f;
    /// Beyond this erf is 1 in F32.
    float ERF_ONE = 4f;
    float ROOT_HALF = 0.70710678118654752f;
    /// sqrt(2 / pi)
    float ROOT_2_PI = 0.79788456080286536f;
    /// 1 / sqrt(2 pi)
    float DENSITY = 0.39894228040143268f;
    float CUBE = 0.044715f;

    /// `y = f(x)`; y may be x.
    void value(Activation f, float[] x, int xo, float[] y, int yo, int n);

    /// `d = g f'(x)`; d may be g.
    void slope(Activation f, float[] x, int xo, float[] g, int go, float[] d, int to, int n);

    /// `s <- cap tanh(s / cap)`.
    void cap(float cap, float[] s, int so, int n);

    /// [#cap], and the factor of its gradient, `f = 1 - tanh(s / cap)^2`.
    void capSlope(float cap, float[] s, int so, float[] f, int fo, int n);
}
