package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// The matrix products of [ProductKernels] with 4 x 4 elements of c per work item: each element of a and b is read, and a
/// weight decoded, once for four products. For devices without fast local memory, such as CPUs. Beyond the edge the last
/// row or column is computed again and not stored.
///
/// Element (i,k) of a is `a[i aRow + k aStep]`, element (k,j) of b is `b[k bRow + j bStep]`: strides (K,1 or 1,M; N,1 or 1,K)
/// make it NN, NT or TN. The sixteen sums are separate variables, because a device does not clear private arrays. The body is
/// repeated for each storage form: as one method called by the three kernels it has 610 to 681 nodes in the compiler's
/// graph, and TornadoVM inlines no more than 600.
final class ProductBlockKernels {
    private ProductBlockKernels() {
    }

    static void blocked(IntArray at, int slot, FloatArray a, FloatArray b, FloatArray c, int M, int N, int K, int aRow,
            int aStep, int bRow, int bStep, float alpha, int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (M + 3 >> 2); i++)
            for (@Parallel int j = 0; j < (N + 3 >> 2); j++) {
                int i1 = TornadoMath.min(4 * i + 1, M - 1);
                int i2 = TornadoMath.min(4 * i + 2, M - 1);
                int i3 = TornadoMath.min(4 * i + 3, M - 1);
                int j1 = TornadoMath.min(4 * j + 1, N - 1);
                int j2 = TornadoMath.min(4 * j + 2, N - 1);
                int j3 = TornadoMath.min(4 * j + 3, N - 1);
                int a0 = aAt + 4 * i * aRow;
                int a1 = aAt + i1 * aRow;
                int a2 = aAt + i2 * aRow;
                int a3 = aAt + i3 * aRow;
                float c00 = 0f;
                float c01 = 0f;
                float c02 = 0f;
                float c03 = 0f;
                float c10 = 0f;
                float c11 = 0f;
                float c12 = 0f;
                float c13 = 0f;
                float c20 = 0f;
                float c21 = 0f;
                float c22 = 0f;
                float c23 = 0f;
                float c30 = 0f;
                float c31 = 0f;
                float c32 = 0f;
                float c33 = 0f;
                for (int k = 0; k < K; k++) {
                    float y0 = b.get(bAt + k * bRow + 4 * j * bStep);
                    float y1 = b.get(bAt + k * bRow + j1 * bStep);
                    float y2 = b.get(bAt + k * bRow + j2 * bStep);
                    float y3 = b.get(bAt + k * bRow + j3 * bStep);
                    float x0 = a.get(a0 + k * aStep);
                    c00 += x0 * y0;
                    c01 += x0 * y1;
                    c02 += x0 * y2;
                    c03 += x0 * y3;
                    float x1 = a.get(a1 + k * aStep);
                    c10 += x1 * y0;
                    c11 += x1 * y1;
                    c12 += x1 * y2;
                    c13 += x1 * y3;
                    float x2 = a.get(a2 + k * aStep);
                    c20 += x2 * y0;
                    c21 += x2 * y1;
                    c22 += x2 * y2;
                    c23 += x2 * y3;
                    float x3 = a.get(a3 + k * aStep);
                    c30 += x3 * y0;
                    c31 += x3 * y1;
                    c32 += x3 * y2;
                    c33 += x3 * y3;
                }
                int to = cAt + 4 * i * N + 4 * j;
                int left = N - 4 * j;
                put(c, to, left, accumulate, alpha * c00, alpha * c01, alpha * c02, alpha * c03);
                if (4 * i + 1 < M)
                    put(c, to + N, left, accumulate, alpha * c10, alpha * c11, alpha * c12, alpha * c13);
                if (4 * i + 2 < M)
                    put(c, to + 2 * N, left, accumulate, alpha * c20, alpha * c21, alpha * c22, alpha * c23);
                if (4 * i + 3 < M)
                    put(c, to + 3 * N, left, accumulate, alpha * c30, alpha * c31, alpha * c32, alpha * c33);
            }
    }

    /// [#blocked] with b in BF16; `powers` as in [ProductKernels#bf16].
    static void blockedBf16(IntArray at, int slot, FloatArray a, ShortArray b, FloatArray powers, FloatArray c, int M,
            int N, int K, int aRow, int aStep, int bRow, int bStep, float alpha, int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (M + 3 >> 2); i++)
            for (@Parallel int j = 0; j < (N + 3 >> 2); j++) {
                int i1 = TornadoMath.min(4 * i + 1, M - 1);
                int i2 = TornadoMath.min(4 * i + 2, M - 1);
                int i3 = TornadoMath.min(4 * i + 3, M - 1);
                int j1 = TornadoMath.min(4 * j + 1, N - 1);
                int j2 = TornadoMath.min(4 * j + 2, N - 1);
                int j3 = TornadoMath.min(4 * j + 3, N - 1);
                int a0 = aAt + 4 * i * aRow;
                int a1 = aAt + i1 * aRow;
                int a2 = aAt + i2 * aRow;
                int a3 = aAt + i3 * aRow;
                float c00 = 0f;
                float c01 = 0f;
                float c02 = 0f;
                float c03 = 0f;
                float c10 = 0f;
                float c11 = 0f;
                float c12 = 0f;
                float c13 = 0f;
                float c20 = 0f;
                float c21 = 0f;
                float c22 = 0f;
                float c23 = 0f;
                float c30 = 0f;
                float c31 = 0f;
                float c32 = 0f;
                float c33 = 0f;
                for (int k = 0; k < K; k++) {
                    float y0 = ProductKernels.bf16(b.get(bAt + k * bRow + 4 * j * bStep), powers);
                    float y1 = ProductKernels.bf16(b.get(bAt + k * bRow + j1 * bStep), powers);
                    float y2 = ProductKernels.bf16(b.get(bAt + k * bRow + j2 * bStep), powers);
                    float y3 = ProductKernels.bf16(b.get(bAt + k * bRow + j3 * bStep), powers);
                    float x0 = a.get(a0 + k * aStep);
                    c00 += x0 * y0;
                    c01 += x0 * y1;
                    c02 += x0 * y2;
                    c03 += x0 * y3;
                    float x1 = a.get(a1 + k * aStep);
                    c10 += x1 * y0;
                    c11 += x1 * y1;
                    c12 += x1 * y2;
                    c13 += x1 * y3;
                    float x2 = a.get(a2 + k * aStep);
                    c20 += x2 * y0;
                    c21 += x2 * y1;
                    c22 += x2 * y2;
                    c23 += x2 * y3;
                    float x3 = a.get(a3 + k * aStep);
                    c30 += x3 * y0;
                    c31 += x3 * y1;
                    c32 += x3 * y2;
                    c33 += x3 * y3;
                }
                int to = cAt + 4 * i * N + 4 * j;
                int left = N - 4 * j;
                put(c, to, left, accumulate, alpha * c00, alpha * c01, alpha * c02, alpha * c03);
                if (4 * i + 1 < M)
                    put(c, to + N, left, accumulate, alpha * c10, alpha * c11, alpha * c12, alpha * c13);
                if (4 * i + 2 < M)
                    put(c, to + 2 * N, left, accumulate, alpha * c20, alpha * c21, alpha * c22, alpha * c23);
                if (4 * i + 3 < M)
                    put(c, to + 3 * N, left, accumulate, alpha * c30, alpha * c31, alpha * c32, alpha * c33);
            }
    }

    /// [#blocked] with b in NF4, (K,N) or, with `nt`, (N,K); the arguments between `a` and `c`, and `block` to `offset`, as in
    /// [ProductKernels#nf4].
    static void blockedNf4(IntArray at, int slot, FloatArray a, ByteArray codes, FloatArray tables, FloatArray maxima,
            ByteArray maximaCodes, FloatArray c, int M, int N, int K, int nt, float alpha, int accumulate, int block,
            int nested) {
        int aAt = at.get(slot);
        int codesAt = at.get(slot + 1);
        int tablesAt = at.get(slot + 2);
        int maximaAt = at.get(slot + 3);
        int maximaCodesAt = at.get(slot + 4);
        int cAt = at.get(slot + 5);
        int aRow = K;
        int aStep = 1;
        int bRow = nt != 0 ? 1 : N;
        int bStep = nt != 0 ? K : 1;
        for (@Parallel int i = 0; i < (M + 3 >> 2); i++)
            for (@Parallel int j = 0; j < (N + 3 >> 2); j++) {
                int i1 = TornadoMath.min(4 * i + 1, M - 1);
                int i2 = TornadoMath.min(4 * i + 2, M - 1);
                int i3 = TornadoMath.min(4 * i + 3, M - 1);
                int j1 = TornadoMath.min(4 * j + 1, N - 1);
                int j2 = TornadoMath.min(4 * j + 2, N - 1);
                int j3 = TornadoMath.min(4 * j + 3, N - 1);
                int a0 = aAt + 4 * i * aRow;
                int a1 = aAt + i1 * aRow;
                int a2 = aAt + i2 * aRow;
                int a3 = aAt + i3 * aRow;
                float c00 = 0f;
                float c01 = 0f;
                float c02 = 0f;
                float c03 = 0f;
                float c10 = 0f;
                float c11 = 0f;
                float c12 = 0f;
                float c13 = 0f;
                float c20 = 0f;
                float c21 = 0f;
                float c22 = 0f;
                float c23 = 0f;
                float c30 = 0f;
                float c31 = 0f;
                float c32 = 0f;
                float c33 = 0f;
                for (int k = 0; k < K; k++) {
                    float y0 = ProductKernels.nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes,
                            maximaCodesAt, block, nested,
                            k * bRow + 4 * j * bStep);
                    float y1 = ProductKernels.nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes,
                            maximaCodesAt, block, nested,
                            k * bRow + j1 * bStep);
                    float y2 = ProductKernels.nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes,
                            maximaCodesAt, block, nested,
                            k * bRow + j2 * bStep);
                    float y3 = ProductKernels.nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes,
                            maximaCodesAt, block, nested,
                            k * bRow + j3 * bStep);
                    float x0 = a.get(a0 + k * aStep);
                    c00 += x0 * y0;
                    c01 += x0 * y1;
                    c02 += x0 * y2;
                    c03 += x0 * y3;
                    float x1 = a.get(a1 + k * aStep);
                    c10 += x1 * y0;
                    c11 += x1 * y1;
                    c12 += x1 * y2;
                    c13 += x1 * y3;
                    float x2 = a.get(a2 + k * aStep);
                    c20 += x2 * y0;
                    c21 += x2 * y1;
                    c22 += x2 * y2;
                    c23 += x2 * y3;
                    float x3 = a.get(a3 + k * aStep);
                    c30 += x3 * y0;
                    c31 += x3 * y1;
                    c32 += x3 * y2;
                    c33 += x3 * y3;
                }
                int to = cAt + 4 * i * N + 4 * j;
                int left = N - 4 * j;
                put(c, to, left, accumulate, alpha * c00, alpha * c01, alpha * c02, alpha * c03);
                if (4 * i + 1 < M)
                    put(c, to + N, left, accumulate, alpha * c10, alpha * c11, alpha * c12, alpha * c13);
                if (4 * i + 2 < M)
                    put(c, to + 2 * N, left, accumulate, alpha * c20, alpha * c21, alpha * c22, alpha * c23);
                if (4 * i + 3 < M)
                    put(c, to + 3 * N, left, accumulate, alpha * c30, alpha * c31, alpha * c32, alpha * c33);
            }
    }

    /// Stores four adjacent elements, or the first `left` of them if `left` is less.
    private static void put(FloatArray c, int at, int left, int accumulate, float v0, float v1, float v2, float v3) {
        put(c, at, v0, accumulate);
        if (left > 1)
            put(c, at + 1, v1, accumulate);
        if (left > 2)
            put(c, at + 2, v2, accumulate);
        if (left > 3)
            put(c, at + 3, v3, accumulate);
    }

    private static void put(FloatArray c, int at, float value, int accumulate) {
        c.set(at, (accumulate != 0 ? c.get(at) : 0f) + value);
    }
}
