package dev.gyre.kernels.cpu;

/// Arithmetic on slices, see [Simd]: matrix products by register tiles.
interface SimdTiles {
    /// Small product `c (+)= a b` of operands that are not packed: a (M,K) with element (i,k) at
    /// `ao + i*rowStep + k*colStep` (so a transposed a costs nothing), b (K,N) and c (M,N) row-major. For products too
    /// small to pack b.
    void mulAdd(int M, int N, int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb, float[] c,
            int co, int ldc, boolean accumulate);

    /// Small product `c (+)= a b`: rows of a (M,K) at `ao + i*lda`, b in panels (see [Panels]), c (M,N). `tile` is work
    /// space of [#tileRows] x [#tileCols] elements. All of b and some rows of a should fit the first-level cache.
    void product(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate, float[] tile);

    /// `c = a b^T` of few rows: row i of a (M,K) at `ao + i*lda`, row j of b (N,K) at `bo + j*ldb`, c (M,N). Neither is
    /// packed. An element of c is the same to the bit whatever M and N are.
    void dots(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, int ldb, float[] c, int co, int ldc);

    /// [#dots] of one row a (K) with rows of a BF16 matrix, decoded on the way; the same bits as of decoded rows.
    void dotsBf16(int N, int K, float[] a, int ao, short[] b, int bo, int ldb, float[] c, int co);

    /// Whether [#product] is so fast that products need no packed rows of a ([PanelProduct]).
    boolean readsRows();

    /// Rows of the register tile of [#product].
    int tileRows();

    /// Columns of a register tile.
    int tileCols();

    /// Inner length up to which operands of [#strip] are packed, and the distance between the rows of a strip: with 8
    /// lanes a panel has 52 KiB then, a strip 19.5. Even, and 64 more than a multiple of 256, so that a low-rank term
    /// fits in the block of the weight.
    int DEPTH = 832;

    /// Rows of a that [#strip] takes at once.
    int stripRows();

    /// Elements for each k in one section of a packed panel of b: a panel of [#tileCols] columns has [#panelSections]
    /// of them, each an array of its own, so that each index of the tile's loop starts at 0.
    int slot();

    /// Sections of a packed panel.
    default int panelSections() {
        return tileCols() / slot();
    }

    /// A strip of rows of a, [#DEPTH] apart, times a panel, the sections of b from `bi` on:
    /// `c (+)= sum over k of a[k] b[k]^T` for the upper left `rows x cols` of [#stripRows] x [#tileCols]. Where kc is
    /// odd, rows and sections have zeros for `k = kc`. `tile` is work space of as many elements as the strip has.
    void strip(int kc, float[] a, float[][] b, int bi, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate, float[] tile);

    /// Rows of a in a packed group of [#strips].
    int groupRows();

    /// Elements of a packed group of rows of a for each k: [#groupRows], and possibly padding.
    int groupStride();

    /// Rows of c that [#strips] writes for M rows of a: possibly more than M; the surplus is undefined.
    int writtenRows(int M);

    /// Small product `c (+)= a b`: a (M,K) in groups with `deep` elements per row, of which the first kc are used, b
    /// one packed panel ([#tileCols] elements per k), [#writtenRows] rows of c written.
    void strips(int M, int kc, float[] a, int ao, int deep, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate);

    /// `c (+)= tile` for the upper left `rows x cols` of tiles stored one below the other.
    void addTile(float[] tile, float[] c, int co, int ldc, int rows, int cols, boolean accumulate);
}
