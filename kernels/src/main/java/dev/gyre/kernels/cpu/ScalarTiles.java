package dev.gyre.kernels.cpu;

import java.util.Arrays;

/// [SimdTiles] in plain loops.
final class ScalarTiles implements SimdTiles {
    private static final int MR = 4;
    static final int NR = 4;

    @Override
    public void mulAdd(int M, int N, int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] c, int co, int ldc, boolean accumulate) {
        for (int i = 0; i < M; i++) {
            int ci = co + i * ldc;
            if (!accumulate)
                Arrays.fill(c, ci, ci + N, 0f);
            for (int k = 0; k < K; k++) {
                float x = a[ao + i * rowStep + k * colStep];
                for (int j = 0; j < N; j++)
                    c[ci + j] += x * b[bo + k * ldb + j];
            }
        }
    }

    @Override
    public void product(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate, float[] tile) {
        for (int j = 0; j < N; j += NR)
            for (int i = 0; i < M; i += MR) {
                fromRows(K, a, ao + i * lda, lda, 1, M - i, b, bo + j * K, tile, 0, false);
                addTile(tile, c, co + i * ldc + j, ldc, Math.min(MR, M - i), Math.min(NR, N - j), accumulate);
            }
    }

    @Override
    public void dots(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, int ldb, float[] c, int co,
            int ldc) {
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                float s = 0;
                for (int k = 0; k < K; k++)
                    s += a[ao + i * lda + k] * b[bo + j * ldb + k];
                c[co + i * ldc + j] = s;
            }
    }

    @Override
    public void dotsBf16(int N, int K, float[] a, int ao, short[] b, int bo, int ldb, float[] c, int co) {
        for (int j = 0; j < N; j++) {
            float s = 0;
            for (int k = 0; k < K; k++)
                s += a[ao + k] * Float.intBitsToFloat(b[bo + j * ldb + k] << 16);
            c[co + j] = s;
        }
    }

    @Override
    public boolean readsRows() {
        return false;
    }

    @Override
    public int tileRows() {
        return MR;
    }

    @Override
    public int tileCols() {
        return NR;
    }

    @Override
    public int stripRows() {
        return MR;
    }

    @Override
    public int slot() {
        return MR;
    }

    @Override
    public void strip(int kc, float[] a, float[][] b, int bi, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate, float[] tile) {
        fromRows(kc, a, 0, DEPTH, 1, MR, b[bi], 0, tile, 0, false);
        addTile(tile, c, co, ldc, rows, cols, accumulate);
    }

    @Override
    public int groupRows() {
        return MR;
    }

    @Override
    public int groupStride() {
        return MR;
    }

    @Override
    public int writtenRows(int M) {
        return M;
    }

    @Override
    public void strips(int M, int kc, float[] a, int ao, int deep, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate) {
        float[] tile = new float[MR * NR];
        for (int i = 0; i < M; i += MR) {
            fromRows(kc, a, ao + i * deep, 1, MR, MR, b, bo, tile, 0, false);
            addTile(tile, c, co + i * ldc, ldc, Math.min(MR, M - i), NR, accumulate);
        }
    }

    /// @param lda distance of rows in a, `step` that of the elements of a row
    private static void fromRows(int kc, float[] a, int ao, int lda, int step, int rows, float[] b, int bo,
            float[] tile, int to, boolean accumulate) {
        int last = ao + (rows - 1) * lda;
        int a1 = Math.min(last, ao + lda);
        int a2 = Math.min(last, ao + 2 * lda);
        int a3 = Math.min(last, ao + 3 * lda);
        float c00 = 0;
        float c01 = 0;
        float c02 = 0;
        float c03 = 0;
        float c10 = 0;
        float c11 = 0;
        float c12 = 0;
        float c13 = 0;
        float c20 = 0;
        float c21 = 0;
        float c22 = 0;
        float c23 = 0;
        float c30 = 0;
        float c31 = 0;
        float c32 = 0;
        float c33 = 0;
        for (int k = 0; k < kc; k++) {
            float b0 = b[bo + NR * k];
            float b1 = b[bo + NR * k + 1];
            float b2 = b[bo + NR * k + 2];
            float b3 = b[bo + NR * k + 3];
            float x = a[ao + k * step];
            c00 += x * b0;
            c01 += x * b1;
            c02 += x * b2;
            c03 += x * b3;
            x = a[a1 + k * step];
            c10 += x * b0;
            c11 += x * b1;
            c12 += x * b2;
            c13 += x * b3;
            x = a[a2 + k * step];
            c20 += x * b0;
            c21 += x * b1;
            c22 += x * b2;
            c23 += x * b3;
            x = a[a3 + k * step];
            c30 += x * b0;
            c31 += x * b1;
            c32 += x * b2;
            c33 += x * b3;
        }
        tile[to] = accumulate ? tile[to] + c00 : c00;
        tile[to + 1] = accumulate ? tile[to + 1] + c01 : c01;
        tile[to + 2] = accumulate ? tile[to + 2] + c02 : c02;
        tile[to + 3] = accumulate ? tile[to + 3] + c03 : c03;
        tile[to + 4] = accumulate ? tile[to + 4] + c10 : c10;
        tile[to + 5] = accumulate ? tile[to + 5] + c11 : c11;
        tile[to + 6] = accumulate ? tile[to + 6] + c12 : c12;
        tile[to + 7] = accumulate ? tile[to + 7] + c13 : c13;
        tile[to + 8] = accumulate ? tile[to + 8] + c20 : c20;
        tile[to + 9] = accumulate ? tile[to + 9] + c21 : c21;
        tile[to + 10] = accumulate ? tile[to + 10] + c22 : c22;
        tile[to + 11] = accumulate ? tile[to + 11] + c23 : c23;
        tile[to + 12] = accumulate ? tile[to + 12] + c30 : c30;
        tile[to + 13] = accumulate ? tile[to + 13] + c31 : c31;
        tile[to + 14] = accumulate ? tile[to + 14] + c32 : c32;
        tile[to + 15] = accumulate ? tile[to + 15] + c33 : c33;
    }

    @Override
    public void addTile(float[] tile, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate) {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++) {
                float v = tile[i * NR + j];
                int at = co + i * ldc + j;
                c[at] = accumulate ? c[at] + v : v;
            }
    }
}
