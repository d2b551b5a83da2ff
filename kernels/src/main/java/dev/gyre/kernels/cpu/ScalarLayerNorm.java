package dev.gyre.kernels.cpu;

import org.jspecify.annotations.Nullable;

/// [SimdLayerNorm] in plain loops.
final class ScalarLayerNorm implements SimdLayerNorm {
    @Override
    public float sum(float[] x, int xo, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += x[xo + i];
        return (float) s;
    }

    @Override
    public float squares(float[] x, int xo, float mean, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += (double) (x[xo + i] - mean) * (x[xo + i] - mean);
        return (float) s;
    }

    @Override
    public void normalise(float mean, float r, float[] x, int xo, float[] w, int wo, float @Nullable [] b, int bo,
            float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] = (x[xo + i] - mean) * r * w[wo + i] + (b == null ? 0f : b[bo + i]);
    }

    @Override
    public void dots(float[] x, int xo, float mean, float[] y, int yo, float[] w, int wo, int n, float[] sums) {
        double s = 0;
        double t = 0;
        for (int i = 0; i < n; i++) {
            float v = y[yo + i] * w[wo + i];
            s += v;
            t += (x[xo + i] - mean) * v;
        }
        sums[0] = (float) s;
        sums[1] = (float) t;
    }

    @Override
    public void grad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float mean, float c,
            float[] z, int zo, int n, boolean accumulate) {
        for (int i = 0; i < n; i++) {
            float g = w[wo + i] * (a * y[yo + i]) + b * (x[xo + i] - mean) + c;
            z[zo + i] = accumulate ? z[zo + i] + g : g;
        }
    }

    @Override
    public void mulAdd(float a, float[] x, int xo, float mean, float[] y, int yo, float[] z, int zo, int n) {
        for (int i = 0; i < n; i++)
            z[zo + i] += a * (x[xo + i] - mean) * y[yo + i];
    }
}
