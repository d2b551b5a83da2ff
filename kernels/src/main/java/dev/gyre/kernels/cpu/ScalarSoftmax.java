package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.ScalarTiles.NR;

/// [SimdSoftmax] in plain loops.
final class ScalarSoftmax implements SimdSoftmax {
    @Override
    public double sumExp(float[] x, int xo, float max, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += exp(x[xo + i] - max);
        return s;
    }

    @Override
    public double expInPlace(float[] x, int xo, float max, int n) {
        double s = 0;
        for (int i = 0; i < n; i++) {
            float e = exp(x[xo + i] - max);
            x[xo + i] = e;
            s += e;
        }
        return s;
    }

    @Override
    public void step(int n, float[] w, int scores, int stats, int sums, int D) {
        for (int c = 0; c < NR; c++) {
            float old = w[stats + c];
            float max = old;
            for (int j = 0; j < n; j++)
                max = Math.max(max, w[scores + j * NR + c]);
            w[stats + c] = max;
            float shrink = exp(old - max);
            float sum = w[stats + NR + c] * shrink;
            for (int j = 0; j < n; j++) {
                float e = exp(w[scores + j * NR + c] - max);
                w[scores + j * NR + c] = e;
                sum += e;
            }
            w[stats + NR + c] = sum;
            for (int d = 0; d < D; d++)
                w[sums + c * D + d] *= shrink;
        }
    }

    @Override
    public void grad(int n, int ld, float a, float[] w, int p, int d, int stats) {
        for (int j = 0; j < n * ld; j += ld)
            for (int c = 0; c < NR; c++) {
                w[p + j + c] = exp(w[p + j + c] - w[stats + c]);
                w[d + j + c] = a * w[p + j + c] * (w[d + j + c] - w[stats + NR + c]);
            }
    }

    /// Zero below the smallest normal number, as in [VectorSoftmax].
    static float exp(float x) {
        return x < -87.3f ? 0f : (float) Math.exp(x);
    }
}
