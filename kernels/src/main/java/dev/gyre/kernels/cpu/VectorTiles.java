package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.VectorPanels.panel6;
import static dev.gyre.kernels.cpu.VectorPanels.panel8;
import static dev.gyre.kernels.cpu.VectorSmallProducts.near1;
import static dev.gyre.kernels.cpu.VectorSmallProducts.near1Masked;
import static dev.gyre.kernels.cpu.VectorSmallProducts.near4;
import static dev.gyre.kernels.cpu.VectorSmallProducts.near4Masked;
import static dev.gyre.kernels.cpu.VectorSmallProducts.outer4;
import static dev.gyre.kernels.cpu.VectorSmallProducts.outer8;
import static dev.gyre.kernels.cpu.VectorStrips.addTile6;
import static dev.gyre.kernels.cpu.VectorStrips.copyTile6;
import static dev.gyre.kernels.cpu.VectorStrips.strip12;
import static dev.gyre.kernels.cpu.VectorStrips.strip4;
import static dev.gyre.kernels.cpu.VectorStrips.strip5To;
import static dev.gyre.kernels.cpu.VectorStrips.strip6;
import static dev.gyre.kernels.cpu.VectorStrips.tile12;
import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.WIDE;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.first;

import jdk.incubator.vector.VectorMask;

/// [SimdTiles] in vectors. Register tiles: 12 x 2 vectors with 32 registers (16 lanes, or ARM), 6 x 2 with 16. The wide
/// tile is stored to a small array and added to the result by another method, because one method with both exceeds C2's
/// inlining budget. The tiles are in [VectorStrips], [VectorPanels] and [VectorSmallProducts].
final class VectorTiles implements SimdTiles {
    /// Added to a tile that overwrites its result; read with row stride 0.
    private static final float[] ZEROS = new float[2 * L];

    @Override
    public void mulAdd(int M, int N, int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] c, int co, int ldc, boolean accumulate) {
        float[] z = accumulate ? c : ZEROS;
        int ldz = accumulate ? ldc : 0;
        for (int j = 0; j < N; j += 2 * L) {
            int i = 0;
            if (j + 2 * L <= N) {
                if (WIDE && rowStep == 1)
                    for (; i <= M - 8; i += 8)
                        outer8(K, a, ao + i, colStep, b, bo + j, ldb, z, accumulate ? co + i * ldc + j : 0, ldz, c,
                                co + i * ldc + j, ldc);
                for (; i <= M - 4; i += 4)
                    if (rowStep == 1)
                        outer4(K, a, ao + i, colStep, b, bo + j, ldb, z, accumulate ? co + i * ldc + j : 0, ldz, c,
                                co + i * ldc + j, ldc);
                    else
                        near4(K, a, ao + i * rowStep, rowStep, colStep, b, bo + j, ldb, z,
                                accumulate ? co + i * ldc + j : 0, ldz, c, co + i * ldc + j, ldc);
                for (; i < M; i++)
                    near1(K, a, ao + i * rowStep, colStep, b, bo + j, ldb, z, accumulate ? co + i * ldc + j : 0, ldz,
                            c, co + i * ldc + j, ldc);
            } else
                for (int h = j; h < N; h += L) {
                    VectorMask<Float> m = first(N - h);
                    for (i = 0; i <= M - 4; i += 4)
                        near4Masked(K, a, ao + i * rowStep, rowStep, colStep, b, bo + h, ldb, z,
                                accumulate ? co + i * ldc + h : 0, ldz, c, co + i * ldc + h, ldc, m);
                    for (; i < M; i++)
                        near1Masked(K, a, ao + i * rowStep, rowStep, colStep, b, bo + h, ldb, z,
                                accumulate ? co + i * ldc + h : 0, ldz, c, co + i * ldc + h, ldc, m);
                }
        }
    }

    @Override
    public void product(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate, float[] tile) {
        int nr = 2 * L;
        int mr = WIDE ? 8 : 6;
        for (int j = 0; j < N; j += nr) {
            int panel = bo + j * K;
            // whole tiles are stored directly in c
            int whole = j + nr <= N && !accumulate ? M - M % mr : 0;
            if (whole > 0)
                panel(whole, K, a, ao, lda, b, panel, c, co + j, ldc);
            for (int i = whole; i < M; i += mr) {
                int some = Math.min(mr, M - i);
                panel(some, K, a, ao + i * lda, lda, b, panel, tile, 0, nr);
                if (mr == 6 && some == mr && accumulate && j + nr <= N)
                    addTile6(tile, c, co + i * ldc + j, ldc);
                else
                    addTile(tile, c, co + i * ldc + j, ldc, some, Math.min(nr, N - j), accumulate);
            }
        }
    }

    /// Register tiles one below the other, for M rows of a and one panel of b: `c = a b`. Rows of a from M on repeat
    /// the last; c has room for whole tiles.
    private static void panel(int M, int kc, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co,
            int ldc) {
        if (WIDE)
            panel8(M, kc, a, ao, lda, b, bo, c, co, ldc);
        else
            panel6(M, kc, a, ao, lda, b, bo, c, co, ldc);
    }

    @Override
    public void dots(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, int ldb, float[] c, int co,
            int ldc) {
        VectorDots.dots(M, N, K, a, ao, lda, b, bo, ldb, c, co, ldc);
    }

    @Override
    public void dotsBf16(int N, int K, float[] a, int ao, short[] b, int bo, int ldb, float[] c, int co) {
        VectorDots.bf16(N, K, a, ao, b, bo, ldb, c, co);
    }

    @Override
    public boolean readsRows() {
        return L >= 8;
    }

    @Override
    public int tileRows() {
        return WIDE ? 12 : 6;
    }

    @Override
    public int tileCols() {
        return 2 * L;
    }

    @Override
    public int stripRows() {
        return L == 8 ? 6 : WIDE ? 12 : 4;
    }

    @Override
    public int slot() {
        return L;
    }

    @Override
    public void strip(int kc, float[] a, float[][] b, int bi, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate, float[] tile) {
        if (L == 8)
            strip6(kc, a, b[bi], b[bi + 1], tile);
        else
            if (WIDE)
                strip12(kc, a, b[bi], b[bi + 1], tile);
            else
                strip4(kc, a, b[bi], b[bi + 1], tile);
        if (L != 8 || rows < 6 || cols < 2 * L)
            addTile(tile, c, co, ldc, rows, cols, accumulate);
        else
            if (accumulate)
                addTile6(tile, c, co, ldc);
            else
                copyTile6(tile, c, co, ldc);
    }

    @Override
    public int groupRows() {
        return WIDE ? 12 : 2 * L / 5 * 5;
    }

    /// As many elements per k as a panel of b has, see [VectorStrips#strip5To].
    @Override
    public int groupStride() {
        return WIDE ? 12 : 2 * L;
    }

    @Override
    public int writtenRows(int M) {
        return WIDE ? M : (M + 4) / 5 * 5;
    }

    @Override
    public void strips(int M, int kc, float[] a, int ao, int deep, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate) {
        if (WIDE) {
            float[] tile = new float[24 * L];
            for (int i = 0; i < M; i += 12) {
                if (!accumulate && i + 12 <= M) {
                    tile12(kc, a, ao + i * deep, b, bo, c, co + i * ldc, ldc);
                    continue;
                }
                tile12(kc, a, ao + i * deep, b, bo, tile, 0, 2 * L);
                addTile(tile, c, co + i * ldc, ldc, Math.min(12, M - i), 2 * L, accumulate);
            }
            return;
        }
        int rows = groupRows();
        for (int i = 0; i < M; i += rows, ao += 2 * L * deep)
            for (int r = 0; r < Math.min(rows, M - i); r += 5) {
                int at = co + (i + r) * ldc;
                if (accumulate)
                    strip5To(kc, a, ao + r, b, bo, c, at, ldc, c, at, ldc);
                else
                    strip5To(kc, a, ao + r, b, bo, ZEROS, 0, 0, c, at, ldc);
            }
    }

    @Override
    public void addTile(float[] tile, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate) {
        int nr = tileCols();
        for (int i = 0; i < rows; i++) {
            int ci = co + i * ldc;
            int ti = i * nr;
            int j = 0;
            if (accumulate)
                for (; j <= cols - L; j += L)
                    at(tile, ti + j).add(at(c, ci + j)).intoArray(c, ci + j);
            else
                for (; j <= cols - L; j += L)
                    at(tile, ti + j).intoArray(c, ci + j);
            for (; j < cols; j++)
                c[ci + j] = accumulate ? c[ci + j] + tile[ti + j] : tile[ti + j];
        }
    }
}
