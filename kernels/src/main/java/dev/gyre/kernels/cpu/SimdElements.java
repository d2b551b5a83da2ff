package dev.gyre.kernels.cpu;

/// Arithmetic on slices, see [Simd]: elementwise arithmetic, sums, activations, dropout and the AdamW step.
interface SimdElements {
    /// `z = x + y`.
    void add(float[] x, int xo, float[] y, int yo, float[] z, int zo, int n);

    /// `y += a x`.
    void axpy(float a, float[] x, int xo, float[] y, int yo, int n);

    /// `y = a x`.
    void scale(float a, float[] x, int xo, float[] y, int yo, int n);

    /// `z = a x y`.
    void mul(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n);

    /// `z += a x y`.
    void mulAdd(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n);

    /// `z (+)= w * (a * y) + b * x`, used by the gradient of RMSNorm.
    void normGrad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float[] z, int zo, int n,
            boolean accumulate);

    /// `sum x y`.
    float dot(float[] x, int xo, float[] y, int yo, int n);

    /// `sum x y w`.
    float dot3(float[] x, int xo, float[] y, int yo, float[] w, int wo, int n);

    /// `sum x^2` in double precision.
    double sumSquares(float[] x, int xo, int n);

    /// Largest element; -Infinity for none.
    float max(float[] x, int xo, int n);

    /// `out = silu(gate) up`.
    void swiGlu(float[] gate, int go, float[] up, int uo, float[] out, int oo, int n);

    /// See [dev.gyre.kernels.op.ElementOps.SwiGluGrad]; dGate may be gate and dUp may be up.
    void swiGluGrad(float[] gate, int go, float[] up, int uo, float[] dOut, int doo, float[] dGate, int dgo,
            float[] dUp, int duo, int n);

    /// Rotates the pairs `(x[j], x[j + half])` by the angles with these cos and sin; `sign` -1 is the inverse.
    void rope(float[] x, int xo, float[] cos, int co, float[] sin, int so, int half, float sign);

    /// One step of [dev.gyre.kernels.op.OptimiserOps.AdamW] over n parameters; `shrink = 1 - lr * decay`,
    /// `step = lr / c1`.
    void adamW(float[] p, int po, float[] g, int go, float[] m, int mo, float[] v, int vo, int n, float clip,
            float beta1, float beta2, float shrink, float step, float c2, float eps);

    /// `y[i] (+)= x[i] scale` where [dev.gyre.kernels.op.Dropouts#keeps] element `e + i`, else 0.
    void dropout(int seed, int salt, int e, float p, float scale, float[] x, int xo, float[] y, int yo, int n,
            boolean accumulate);
}
