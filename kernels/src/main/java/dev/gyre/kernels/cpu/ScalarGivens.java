package dev.gyre.kernels.cpu;

/// [SimdGivens] in plain loops.
final class ScalarGivens implements SimdGivens {
    private static final int GROUP = 4;

    @Override
    public int width() {
        return GROUP;
    }

    @Override
    public void rotate(int rows, int groups, float[] coefficients, int co, float[] x, int xo, int ldx, float[] first,
            int fo, int ldf, float[] y, int yo, int ldy) {
        for (int r = 0; r < rows; r++)
            for (int g = 0; g < groups; g++) {
                int c = co + 4 * GROUP * g;
                int to = yo + r * ldy + g * GROUP;
                System.arraycopy(x, xo + r * ldx + g * GROUP, y, to, GROUP);
                y[to] = first[fo + r * ldf + g];
                turn(y, to, 2, coefficients, c + 2 * GROUP);
                turn(y, to, 1, coefficients, c);
            }
    }

    private static void turn(float[] x, int xo, int stride, float[] coefficients, int c) {
        for (int i = 0; i < GROUP; i++)
            if ((i & stride) == 0) {
                float p = x[xo + i];
                float q = x[xo + i + stride];
                x[xo + i] = p * coefficients[c + i] + q * coefficients[c + GROUP + i];
                x[xo + i + stride] = q * coefficients[c + i + stride] + p * coefficients[c + GROUP + i + stride];
            }
    }

    @Override
    public void rotateGrad(int rows, int groups, float[] coefficients, int co, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int so) {
        float[] in = new float[GROUP];
        for (int r = 0; r < rows; r++)
            for (int g = 0; g < groups; g++) {
                int c = 4 * GROUP * g;
                int at = r * ld + g * GROUP;
                System.arraycopy(x, xo + at, in, 0, GROUP);
                turn(in, 0, 2, coefficients, co + c + 2 * GROUP);
                turnBack(in, 0, w, wo + at, 1, coefficients, co + c, sums, so + c);
                turnBack(x, xo + at, w, wo + at, 2, coefficients, co + c + 2 * GROUP, sums, so + c + 2 * GROUP);
            }
    }

    private static void turnBack(float[] x, int xo, float[] w, int wo, int stride, float[] coefficients, int c,
            float[] sums, int s) {
        for (int i = 0; i < GROUP; i++) {
            sums[s + i] += x[xo + i] * w[wo + i];
            sums[s + GROUP + i] += x[xo + (i ^ stride)] * w[wo + i];
        }
        for (int i = 0; i < GROUP; i++)
            if ((i & stride) == 0) {
                float p = w[wo + i];
                float q = w[wo + i + stride];
                w[wo + i] = p * coefficients[c + i] + q * coefficients[c + GROUP + i + stride];
                w[wo + i + stride] = q * coefficients[c + i + stride] + p * coefficients[c + GROUP + i];
            }
    }
}
