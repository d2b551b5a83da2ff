package dev.gyre.kernels.cpu;

/// Arithmetic on slices, see [Simd]: copies and transposes of matrices.
interface SimdLayout {
    /// `y[r][c] = x[r][c]` for `rows x cols` elements of x.
    void copy(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy);

    /// `y[c][r] = x[r][c]` for `rows x cols` elements of x.
    void transpose(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy);
}
