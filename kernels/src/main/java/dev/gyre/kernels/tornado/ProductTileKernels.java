package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// The matrix products of [ProductKernels] for GPUs. A work group of 16 x 16 items computes a tile of 32 x 32 elements
/// of c, each item 2 x 2 of them. Slabs of 16 columns of a and 16 rows of b are copied to local memory, so that each element
/// of a and b is read (and a weight decoded) once per tile and not once per element of c. Adjacent items read adjacent
/// elements, whether the matrix is transposed or not. The row pitch of 33 puts them in different banks. `at` also holds K
/// for the loop over slabs: as a small constant it would make TornadoVM unroll the loop, and items run out of registers.
final class ProductTileKernels {
    /// Items along each side of a work group.
    static final int SIDE = 16;
    /// Elements of c along each side of its tile.
    static final int TILE = 32;
    private static final int SLAB = 16;
    private static final int PITCH = TILE + 1;

    private ProductTileKernels() {
    }

    /// `c (+)= alpha a b`; element (i,k) of a is `a[i aRow + k aStep]`, element (k,j) of b is `b[k bRow + j bStep]`, so that the
    /// strides (K,1 or 1,M; N,1 or 1,K) make it NN, NT or TN.
    static void tiled(KernelContext context, IntArray at, int slot, FloatArray a, FloatArray b, FloatArray c, int M,
            int N, int K, int aRow, int aStep, int bRow, int bStep, float alpha, int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        int depth = at.get(slot + 3);
        float[] tileA = context.allocateFloatLocalArray(SLAB * PITCH);
        float[] tileB = context.allocateFloatLocalArray(SLAB * PITCH);
        int x = context.localIdx;
        int y = context.localIdy;
        int i0 = context.groupIdy * TILE;
        int j0 = context.groupIdx * TILE;
        float c00 = 0f;
        float c01 = 0f;
        float c10 = 0f;
        float c11 = 0f;
        for (int k0 = 0; k0 < depth; k0 += SLAB) {
            for (int e = y * SIDE + x; e < TILE * SLAB; e += SIDE * SIDE) {
                int ka = aStep == 1 ? e & 15 : e >> 5;
                int ia = aStep == 1 ? e >> 4 : e & 31;
                tileA[ka * PITCH + ia] = i0 + ia < M && k0 + ka < K
                        ? a.get(aAt + (i0 + ia) * aRow + (k0 + ka) * aStep)
                        : 0f;
                int kb = bRow == 1 ? e & 15 : e >> 5;
                int jb = bRow == 1 ? e >> 4 : e & 31;
                tileB[kb * PITCH + jb] = k0 + kb < K && j0 + jb < N
                        ? b.get(bAt + (k0 + kb) * bRow + (j0 + jb) * bStep)
                        : 0f;
            }
            context.localBarrier();
            for (int k = 0; k < SLAB; k++) {
                float a0 = tileA[k * PITCH + 2 * y];
                float a1 = tileA[k * PITCH + 2 * y + 1];
                float b0 = tileB[k * PITCH + x];
                float b1 = tileB[k * PITCH + x + SIDE];
                c00 += a0 * b0;
                c01 += a0 * b1;
                c10 += a1 * b0;
                c11 += a1 * b1;
            }
            context.localBarrier();
        }
        int i = i0 + 2 * y;
        int j = j0 + x;
        put(c, cAt, i, j, M, N, alpha * c00, accumulate);
        put(c, cAt, i, j + SIDE, M, N, alpha * c01, accumulate);
        put(c, cAt, i + 1, j, M, N, alpha * c10, accumulate);
        put(c, cAt, i + 1, j + SIDE, M, N, alpha * c11, accumulate);
    }

    /// [#tiled] of an a (M,K) and a b in BF16.
    static void tiledBf16(KernelContext context, IntArray at, int slot, FloatArray a, ShortArray b, FloatArray powers,
            FloatArray c, int M, int N, int K, int bRow, int bStep, float alpha, int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        int depth = at.get(slot + 3);
        float[] tileA = context.allocateFloatLocalArray(SLAB * PITCH);
        float[] tileB = context.allocateFloatLocalArray(SLAB * PITCH);
        int x = context.localIdx;
        int y = context.localIdy;
        int i0 = context.groupIdy * TILE;
        int j0 = context.groupIdx * TILE;
        float c00 = 0f;
        float c01 = 0f;
        float c10 = 0f;
        float c11 = 0f;
        for (int k0 = 0; k0 < depth; k0 += SLAB) {
            for (int e = y * SIDE + x; e < TILE * SLAB; e += SIDE * SIDE) {
                int ka = e & 15;
                int ia = e >> 4;
                tileA[ka * PITCH + ia] = i0 + ia < M && k0 + ka < K
                        ? a.get(aAt + (i0 + ia) * K + k0 + ka)
                        : 0f;
                int kb = bRow == 1 ? e & 15 : e >> 5;
                int jb = bRow == 1 ? e >> 4 : e & 31;
                tileB[kb * PITCH + jb] = k0 + kb < K && j0 + jb < N
                        ? ProductKernels.bf16(b.get(bAt + (k0 + kb) * bRow + (j0 + jb) * bStep), powers)
                        : 0f;
            }
            context.localBarrier();
            for (int k = 0; k < SLAB; k++) {
                float a0 = tileA[k * PITCH + 2 * y];
                float a1 = tileA[k * PITCH + 2 * y + 1];
                float b0 = tileB[k * PITCH + x];
                float b1 = tileB[k * PITCH + x + SIDE];
                c00 += a0 * b0;
                c01 += a0 * b1;
                c10 += a1 * b0;
                c11 += a1 * b1;
            }
            context.localBarrier();
        }
        int i = i0 + 2 * y;
        int j = j0 + x;
        put(c, cAt, i, j, M, N, alpha * c00, accumulate);
        put(c, cAt, i, j + SIDE, M, N, alpha * c01, accumulate);
        put(c, cAt, i + 1, j, M, N, alpha * c10, accumulate);
        put(c, cAt, i + 1, j + SIDE, M, N, alpha * c11, accumulate);
    }

    /// [#tiled] of an a (M,K) and a b in NF4, (N,K) when `transposed`, else (K,N); the other arguments as in [ProductKernels#nf4].
    static void tiledNf4(KernelContext context, IntArray at, int slot, FloatArray a, ByteArray codes, FloatArray tables,
            FloatArray maxima, ByteArray maximaCodes, FloatArray c, int M, int N, int K, int transposed, float alpha,
            int accumulate, int block, int nested) {
        int aAt = at.get(slot);
        int codesAt = at.get(slot + 1);
        int tablesAt = at.get(slot + 2);
        int maximaAt = at.get(slot + 3);
        int maximaCodesAt = at.get(slot + 4);
        int cAt = at.get(slot + 5);
        int depth = at.get(slot + 6);
        float[] tileA = context.allocateFloatLocalArray(SLAB * PITCH);
        float[] tileB = context.allocateFloatLocalArray(SLAB * PITCH);
        int x = context.localIdx;
        int y = context.localIdy;
        int i0 = context.groupIdy * TILE;
        int j0 = context.groupIdx * TILE;
        float c00 = 0f;
        float c01 = 0f;
        float c10 = 0f;
        float c11 = 0f;
        for (int k0 = 0; k0 < depth; k0 += SLAB) {
            for (int e = y * SIDE + x; e < TILE * SLAB; e += SIDE * SIDE) {
                int ka = e & 15;
                int ia = e >> 4;
                tileA[ka * PITCH + ia] = i0 + ia < M && k0 + ka < K
                        ? a.get(aAt + (i0 + ia) * K + k0 + ka)
                        : 0f;
                int kb = transposed != 0 ? e & 15 : e >> 5;
                int jb = transposed != 0 ? e >> 4 : e & 31;
                tileB[kb * PITCH + jb] = k0 + kb < K && j0 + jb < N
                        ? ProductKernels.nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes,
                                maximaCodesAt, block, nested,
                                transposed != 0 ? (j0 + jb) * K + k0 + kb : (k0 + kb) * N + j0 + jb)
                        : 0f;
            }
            context.localBarrier();
            for (int k = 0; k < SLAB; k++) {
                float a0 = tileA[k * PITCH + 2 * y];
                float a1 = tileA[k * PITCH + 2 * y + 1];
                float b0 = tileB[k * PITCH + x];
                float b1 = tileB[k * PITCH + x + SIDE];
                c00 += a0 * b0;
                c01 += a0 * b1;
                c10 += a1 * b0;
                c11 += a1 * b1;
            }
            context.localBarrier();
        }
        int i = i0 + 2 * y;
        int j = j0 + x;
        put(c, cAt, i, j, M, N, alpha * c00, accumulate);
        put(c, cAt, i, j + SIDE, M, N, alpha * c01, accumulate);
        put(c, cAt, i + 1, j, M, N, alpha * c10, accumulate);
        put(c, cAt, i + 1, j + SIDE, M, N, alpha * c11, accumulate);
    }

    private static void put(FloatArray c, int cAt, int i, int j, int M, int N, float value, int accumulate) {
        if (i < M && j < N) {
            int o = cAt + i * N + j;
            c.set(o, accumulate != 0 ? c.get(o) + value : value);
        }
    }
}
