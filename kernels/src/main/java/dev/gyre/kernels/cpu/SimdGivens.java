package dev.gyre.kernels.cpu;

/// Arithmetic on slices, see [Simd]: Givens rotations within groups of neighbours of a row, and their gradient.
interface SimdGivens {
    /// Elements in a group of [#rotate], a power of two.
    int width();

    /// Givens rotations within groups of [#width] neighbours of each row, from the largest stride to stride 1:
    /// `y[i] = x[i] a[i] + x[i ^ stride] b[i]`. A group's coefficients are a and b of stride 1, then of stride 2, ...;
    /// groups follow each other, in the rows as in the coefficients. The first element of group g of row r is not taken
    /// from x but is `first[fo + r ldf + g]`. y may be x.
    void rotate(int rows, int groups, float[] coefficients, int co, float[] x, int xo, int ldx, float[] first, int fo,
            int ldf, float[] y, int yo, int ldy);

    /// Gradient of [#rotate]: x has its inputs, w the gradients of its outputs, which become those of its inputs; the
    /// gradients of the coefficients are added to sums, laid out as they are. Rows of x and w are `ld` apart.
    void rotateGrad(int rows, int groups, float[] coefficients, int co, float[] x, int xo, float[] w, int wo, int ld,
            float[] sums, int so);
}
