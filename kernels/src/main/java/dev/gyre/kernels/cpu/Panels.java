package dev.gyre.kernels.cpu;

import java.util.Arrays;

/// The right operand of a product, packed for the register tile: panel p has columns `p*NR .. p*NR+NR-1`, NR elements
/// for each of K rows, zeros beyond the matrix; panel after panel, NR being [SimdTiles#tileCols].
final class Panels {
    private Panels() {
    }

    /// Elements in the panels of b (K,N).
    static int size(Simd simd, int K, int N) {
        int nr = simd.tiles().tileCols();
        return (N + nr - 1) / nr * nr * K;
    }

    /// From b (K,N), rows `ldb` apart.
    static void of(Simd simd, float[] b, int bo, int ldb, int K, int N, float[] to, int at) {
        int nr = simd.tiles().tileCols();
        for (int j = 0; j < N; j += nr) {
            int width = Math.min(nr, N - j);
            if (width < nr)
                Arrays.fill(to, at + j * K, at + (j + nr) * K, 0f);
            simd.layout().copy(b, bo + j, ldb, K, width, to, at + j * K, nr);
        }
    }

    /// From the transpose of b: b (N,K), rows `ldb` apart.
    static void ofTransposed(Simd simd, float[] b, int bo, int ldb, int K, int N, float[] to, int at) {
        int nr = simd.tiles().tileCols();
        for (int j = 0; j < N; j += nr) {
            int width = Math.min(nr, N - j);
            if (width < nr)
                Arrays.fill(to, at + j * K, at + (j + nr) * K, 0f);
            simd.layout().transpose(b, bo + j * ldb, ldb, width, K, to, at + j * K, nr);
        }
    }
}
