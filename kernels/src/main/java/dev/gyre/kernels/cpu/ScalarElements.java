package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.ScalarSoftmax.exp;

import dev.gyre.kernels.op.Dropouts;

/// [SimdElements] in plain loops.
final class ScalarElements implements SimdElements {
    @Override
    public void add(float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        for (int i = 0; i < n; i++)
            z[zo + i] = x[xo + i] + y[yo + i];
    }

    @Override
    public void axpy(float a, float[] x, int xo, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] += a * x[xo + i];
    }

    @Override
    public void scale(float a, float[] x, int xo, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] = a * x[xo + i];
    }

    @Override
    public void mul(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        for (int i = 0; i < n; i++)
            z[zo + i] = a * x[xo + i] * y[yo + i];
    }

    @Override
    public void mulAdd(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        for (int i = 0; i < n; i++)
            z[zo + i] += a * x[xo + i] * y[yo + i];
    }

    @Override
    public void normGrad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float[] z, int zo,
            int n, boolean accumulate) {
        for (int i = 0; i < n; i++) {
            float g = w[wo + i] * (a * y[yo + i]) + b * x[xo + i];
            z[zo + i] = accumulate ? z[zo + i] + g : g;
        }
    }

    @Override
    public float dot(float[] x, int xo, float[] y, int yo, int n) {
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        int i = 0;
        for (; i < n - 3; i += 4) {
            s0 += x[xo + i] * y[yo + i];
            s1 += x[xo + i + 1] * y[yo + i + 1];
            s2 += x[xo + i + 2] * y[yo + i + 2];
            s3 += x[xo + i + 3] * y[yo + i + 3];
        }
        for (; i < n; i++)
            s0 += x[xo + i] * y[yo + i];
        return (s0 + s1) + (s2 + s3);
    }

    @Override
    public float dot3(float[] x, int xo, float[] y, int yo, float[] w, int wo, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += x[xo + i] * y[yo + i] * w[wo + i];
        return (float) s;
    }

    @Override
    public double sumSquares(float[] x, int xo, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += (double) x[xo + i] * x[xo + i];
        return s;
    }

    @Override
    public float max(float[] x, int xo, int n) {
        float m = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < n; i++)
            m = Math.max(m, x[xo + i]);
        return m;
    }

    @Override
    public void swiGlu(float[] gate, int go, float[] up, int uo, float[] out, int oo, int n) {
        for (int i = 0; i < n; i++) {
            float g = gate[go + i];
            out[oo + i] = g / (1 + exp(-g)) * up[uo + i];
        }
    }

    @Override
    public void swiGluGrad(float[] gate, int go, float[] up, int uo, float[] dOut, int doo, float[] dGate, int dgo,
            float[] dUp, int duo, int n) {
        for (int i = 0; i < n; i++) {
            float g = gate[go + i];
            float u = up[uo + i];
            float d = dOut[doo + i];
            float s = 1 / (1 + exp(-g));
            dUp[duo + i] = d * g * s;
            dGate[dgo + i] = d * u * s * (1 + g * (1 - s));
        }
    }

    @Override
    public void rope(float[] x, int xo, float[] cos, int co, float[] sin, int so, int half, float sign) {
        for (int j = 0; j < half; j++) {
            float c = cos[co + j];
            float s = sign * sin[so + j];
            float a = x[xo + j];
            float b = x[xo + half + j];
            x[xo + j] = a * c - b * s;
            x[xo + half + j] = b * c + a * s;
        }
    }

    @Override
    public void adamW(float[] p, int po, float[] g, int go, float[] m, int mo, float[] v, int vo, int n, float clip,
            float beta1, float beta2, float shrink, float step, float c2, float eps) {
        for (int i = 0; i < n; i++) {
            float gi = clip * g[go + i];
            float mi = beta1 * m[mo + i] + (1 - beta1) * gi;
            float vi = beta2 * v[vo + i] + (1 - beta2) * gi * gi;
            m[mo + i] = mi;
            v[vo + i] = vi;
            p[po + i] = shrink * p[po + i] - step * mi / ((float) Math.sqrt(vi / c2) + eps);
        }
    }

    @Override
    public void dropout(int seed, int salt, int e, float p, float scale, float[] x, int xo, float[] y, int yo, int n,
            boolean accumulate) {
        for (int i = 0; i < n; i++) {
            float v = Dropouts.keeps(seed, salt, e + i, p) ? x[xo + i] * scale : 0f;
            y[yo + i] = accumulate ? y[yo + i] + v : v;
        }
    }
}
