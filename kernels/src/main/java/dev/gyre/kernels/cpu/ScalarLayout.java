package dev.gyre.kernels.cpu;

/// [SimdLayout] in plain loops.
final class ScalarLayout implements SimdLayout {
    @Override
    public void copy(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        for (int r = 0; r < rows; r++)
            System.arraycopy(x, xo + r * ldx, y, yo + r * ldy, cols);
    }

    @Override
    public void transpose(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
                y[yo + c * ldy + r] = x[xo + r * ldx + c];
    }
}
