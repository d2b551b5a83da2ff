package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.ScalarSoftmax.exp;

import dev.gyre.kernels.op.Activation;

/// [SimdActivations] in plain loops.
final class ScalarActivations implements SimdActivations {
    @Override
    public void value(Activation f, float[] x, int xo, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] = value(f, x[xo + i]);
    }

    @Override
    public void slope(Activation f, float[] x, int xo, float[] g, int go, float[] d, int to, int n) {
        for (int i = 0; i < n; i++)
            d[to + i] = g[go + i] * slope(f, x[xo + i]);
    }

    @Override
    public void cap(float cap, float[] s, int so, int n) {
        for (int i = so; i < so + n; i++)
            s[i] = cap * tanh(s[i] / cap);
    }

    @Override
    public void capSlope(float cap, float[] s, int so, float[] f, int fo, int n) {
        for (int i = 0; i < n; i++) {
            float t = tanh(s[so + i] / cap);
            s[so + i] = cap * t;
            f[fo + i] = 1 - t * t;
        }
    }

    private static float value(Activation f, float x) {
        return switch (f) {
            case GELU -> x * normal(x);
            case GELU_TANH -> x * (0.5f + 0.5f * tanh(ROOT_2_PI * (x + CUBE * x * x * x)));
            case SILU -> x / (1 + exp(-x));
            case TANH -> tanh(x);
            case RELU -> Math.max(x, 0);
        };
    }

    private static float slope(Activation f, float x) {
        return switch (f) {
            case GELU -> normal(x) + x * DENSITY * exp(-0.5f * x * x);
            case GELU_TANH -> {
                float e = exp(Math.min(-2 * ROOT_2_PI * (x + CUBE * x * x * x), 80));
                float s = 1 / (1 + e);
                yield s + x * s * s * e * 2 * ROOT_2_PI * (1 + 3 * CUBE * x * x);
            }
            case SILU -> {
                float s = 1 / (1 + exp(-x));
                yield s * (1 + x * (1 - s));
            }
            case TANH -> {
                float t = tanh(x);
                yield 1 - t * t;
            }
            case RELU -> x > 0 ? 1 : 0;
        };
    }

    private static float normal(float x) {
        return 0.5f + 0.5f * erf(ROOT_HALF * x);
    }

    /// A quotient of polynomials, within 2e-7 of tanh.
    static float tanh(float x) {
        float c = Math.clamp(x, -TANH_ONE, TANH_ONE);
        float s = c * c;
        float p = -2.76076847742355e-16f;
        p = p * s + 2.00018790482477e-13f;
        p = p * s - 8.60467152213735e-11f;
        p = p * s + 5.12229709037114e-08f;
        p = p * s + 1.48572235717979e-05f;
        p = p * s + 6.37261928875436e-04f;
        p = p * s + 4.89352455891786e-03f;
        float q = 1.19825839466702e-06f;
        q = q * s + 1.18534705686654e-04f;
        q = q * s + 2.26843463243900e-03f;
        q = q * s + 4.89352518554385e-03f;
        return Math.clamp(c * p / q, -1f, 1f);
    }

    /// A quotient of polynomials, within 2e-7 of erf.
    static float erf(float x) {
        float c = Math.clamp(x, -ERF_ONE, ERF_ONE);
        float s = c * c;
        float p = -2.72614225801306e-10f;
        p = p * s + 2.77068142495902e-08f;
        p = p * s - 2.10102402082508e-06f;
        p = p * s - 5.69250639462346e-05f;
        p = p * s - 7.34990630326855e-04f;
        p = p * s - 2.95459980854025e-03f;
        p = p * s - 1.60960333262415e-02f;
        float q = -1.45660718464996e-05f;
        q = q * s - 2.13374055278905e-04f;
        q = q * s - 1.68282697438203e-03f;
        q = q * s - 7.37332916720468e-03f;
        q = q * s - 1.42647390514189e-02f;
        return Math.clamp(c * p / q, -1f, 1f);
    }
}
