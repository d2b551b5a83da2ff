package dev.gyre.kernels.cpu;

import org.jspecify.annotations.Nullable;

/// Arithmetic on slices, see [Simd]: rows less their mean.
interface SimdLayerNorm {
    float sum(float[] x, int xo, int n);

    /// `sum (x - mean)^2`.
    float squares(float[] x, int xo, float mean, int n);

    /// `y = (x - mean) r w + b`; without b none is added.
    void normalise(float mean, float r, float[] x, int xo, float[] w, int wo, float @Nullable [] b, int bo, float[] y,
            int yo, int n);

    /// `sum y w` and `sum (x - mean) y w`, the first two elements of `sums`.
    void dots(float[] x, int xo, float mean, float[] y, int yo, float[] w, int wo, int n, float[] sums);

    /// `z (+)= w (a y) + b (x - mean) + c`.
    void grad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float mean, float c, float[] z,
            int zo, int n, boolean accumulate);

    /// `z += a (x - mean) y`.
    void mulAdd(float a, float[] x, int xo, float mean, float[] y, int yo, float[] z, int zo, int n);
}
