package dev.gyre.kernels.cpu;

/// Arithmetic on slices, see [Simd]: exponentials and their sums, the softmax down the columns of a tile of scores, and
/// its gradient.
interface SimdSoftmax {
    /// Below every score, and finite, so that differences are not NaN.
    float LOWEST = -1e30f;

    /// `sum exp(x - max)`.
    double sumExp(float[] x, int xo, float max, int n);

    /// `x = exp(x - max)`; returns the sum of the new values.
    double expInPlace(float[] x, int xo, float max, int n);

    /// Running softmax down the columns of n rows of [SimdTiles#tileCols] scores: `score <- exp(score - max)`; at
    /// `stats` the columns' maxima (or values not far below them), then their denominators, then work space of the same
    /// size; the columns' rows of D elements, whole panels, at `sums` are scaled to the new maxima. A score of -Infinity counts as absent; maxima start at
    /// [#LOWEST].
    void step(int n, float[] w, int scores, int stats, int sums, int D);

    /// Gradient of a softmax down the columns of n rows of [SimdTiles#tileCols] scores at p: `p <- exp(p - lse)`,
    /// `d <- a p (d - delta)`, rows `ld` apart. At `stats` the columns' lse, their delta, then work space of the same size.
    /// A score of -Infinity counts as absent.
    void grad(int n, int ld, float a, float[] w, int p, int d, int stats);
}
