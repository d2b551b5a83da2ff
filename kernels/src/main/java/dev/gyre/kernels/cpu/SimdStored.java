package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.HostData;

/// Arithmetic on slices, see [Simd]: products of few rows with rows of a BF16 or NF4 matrix, which come out of what is stored in
/// another order of their elements. A row that is multiplied with them is brought into it once ([#order]).
interface SimdStored {
    /// Whether rows of K elements that begin at multiples of K after element `e` have such an order; otherwise none of the
    /// others is called.
    boolean suits(HostData b, int e, int K);

    /// K elements of x in the order of decoded rows.
    void order(float[] x, int xo, float[] y, int yo, int K);

    /// n rows of K elements, the first at element `e`, decoded one after another.
    void decode(HostData b, int e, int n, int K, float[] y, int yo);

    /// Products of one ordered row x (K) with n rows of b, the first at element `e`, decoded on the way; the bits of
    /// [SimdTiles#dots] of decoded rows. NF4 has none: looking values up while adding products took longer than both apart.
    ///
    /// @param tile work space of [SimdTiles#DOTS] elements
    void dots(int n, int K, float[] x, HostData.BF16 b, int e, float[] c, int co, float[] tile);
}
