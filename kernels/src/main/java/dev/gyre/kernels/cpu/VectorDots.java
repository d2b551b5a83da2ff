package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.SI;
import static dev.gyre.kernels.cpu.Vectors.SS;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;
import static dev.gyre.kernels.cpu.Vectors.sum;
import static dev.gyre.kernels.cpu.Vectors.whole;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;

/// [SimdTiles#dots]: every element of c is one vector of partial sums over k in steps of [Vectors#L], its lanes added
/// ([Vectors#sum]), then the last k one by one. All tiles keep to that order, so that a token's logits do not depend on how
/// many tokens are computed with it.
final class VectorDots {
    private VectorDots() {
    }

    static void dots(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, int ldb, float[] c, int co,
            int ldc) {
        int i = 0;
        for (; i <= M - 4; i += 4) {
            int ai = ao + i * lda;
            int ci = co + i * ldc;
            int j = 0;
            for (; j <= N - 2; j += 2)
                tile4x2(K, a, ai, lda, b, bo + j * ldb, ldb, c, ci + j, ldc);
            for (; j < N; j++)
                for (int r = 0; r < 4; r++)
                    c[ci + r * ldc + j] = one(K, a, ai + r * lda, b, bo + j * ldb);
        }
        for (; i < M; i++) {
            int ai = ao + i * lda;
            int ci = co + i * ldc;
            int j = 0;
            for (; j <= N - 4; j += 4)
                tile1x4(K, a, ai, b, bo + j * ldb, ldb, c, ci + j);
            for (; j < N; j++)
                c[ci + j] = one(K, a, ai, b, bo + j * ldb);
        }
    }

    static void bf16(int N, int K, float[] a, int ao, short[] b, int bo, int ldb, float[] c, int co) {
        int j = 0;
        for (; j <= N - 4; j += 4)
            bf16x4(K, a, ao, b, bo + j * ldb, ldb, c, co + j);
        for (; j < N; j++)
            bf16x1(K, a, ao, b, bo + j * ldb, c, co + j);
    }

    private static FloatVector decoded(short[] b, int at) {
        return ((IntVector) ShortVector.fromArray(SS, b, at).convertShape(VectorOperators.ZERO_EXTEND_S2I, SI, 0))
                .lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
    }

    private static void bf16x1(int K, float[] a, int ao, short[] b, int bo, float[] c, int co) {
        FloatVector s = FloatVector.zero(S);
        int end = whole(K);
        for (int k = 0; k < end; k += L)
            s = fma(at(a, ao + k), decoded(b, bo + k), s);
        c[co] = rest(end, K, a, ao, b, bo, sum(s));
    }

    private static void bf16x4(int K, float[] a, int ao, short[] b, int b0, int ldb, float[] c, int co) {
        int b1 = b0 + ldb;
        int b2 = b1 + ldb;
        int b3 = b2 + ldb;
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        int end = whole(K);
        for (int k = 0; k < end; k += L) {
            FloatVector x = at(a, ao + k);
            s0 = fma(x, decoded(b, b0 + k), s0);
            s1 = fma(x, decoded(b, b1 + k), s1);
            s2 = fma(x, decoded(b, b2 + k), s2);
            s3 = fma(x, decoded(b, b3 + k), s3);
        }
        c[co] = rest(end, K, a, ao, b, b0, sum(s0));
        c[co + 1] = rest(end, K, a, ao, b, b1, sum(s1));
        c[co + 2] = rest(end, K, a, ao, b, b2, sum(s2));
        c[co + 3] = rest(end, K, a, ao, b, b3, sum(s3));
    }

    private static float rest(int from, int K, float[] a, int ao, short[] b, int bo, float sum) {
        float s = sum;
        for (int k = from; k < K; k++)
            s += a[ao + k] * Float.intBitsToFloat(b[bo + k] << 16);
        return s;
    }

    private static float one(int K, float[] a, int ao, float[] b, int bo) {
        FloatVector s = FloatVector.zero(S);
        int end = whole(K);
        for (int k = 0; k < end; k += L)
            s = fma(at(a, ao + k), at(b, bo + k), s);
        return rest(end, K, a, ao, b, bo, sum(s));
    }

    private static float rest(int from, int K, float[] a, int ao, float[] b, int bo, float sum) {
        float s = sum;
        for (int k = from; k < K; k++)
            s += a[ao + k] * b[bo + k];
        return s;
    }

    private static void tile1x4(int K, float[] a, int ao, float[] b, int b0, int ldb, float[] c, int co) {
        int b1 = b0 + ldb;
        int b2 = b1 + ldb;
        int b3 = b2 + ldb;
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        int end = whole(K);
        for (int k = 0; k < end; k += L) {
            FloatVector x = at(a, ao + k);
            s0 = fma(x, at(b, b0 + k), s0);
            s1 = fma(x, at(b, b1 + k), s1);
            s2 = fma(x, at(b, b2 + k), s2);
            s3 = fma(x, at(b, b3 + k), s3);
        }
        c[co] = rest(end, K, a, ao, b, b0, sum(s0));
        c[co + 1] = rest(end, K, a, ao, b, b1, sum(s1));
        c[co + 2] = rest(end, K, a, ao, b, b2, sum(s2));
        c[co + 3] = rest(end, K, a, ao, b, b3, sum(s3));
    }

    private static void tile4x2(int K, float[] a, int a0, int lda, float[] b, int b0, int ldb, float[] c, int co,
            int ldc) {
        int a1 = a0 + lda;
        int a2 = a1 + lda;
        int a3 = a2 + lda;
        int b1 = b0 + ldb;
        FloatVector s00 = FloatVector.zero(S);
        FloatVector s01 = s00;
        FloatVector s10 = s00;
        FloatVector s11 = s00;
        FloatVector s20 = s00;
        FloatVector s21 = s00;
        FloatVector s30 = s00;
        FloatVector s31 = s00;
        int end = whole(K);
        for (int k = 0; k < end; k += L) {
            FloatVector y0 = at(b, b0 + k);
            FloatVector y1 = at(b, b1 + k);
            FloatVector x = at(a, a0 + k);
            s00 = fma(x, y0, s00);
            s01 = fma(x, y1, s01);
            x = at(a, a1 + k);
            s10 = fma(x, y0, s10);
            s11 = fma(x, y1, s11);
            x = at(a, a2 + k);
            s20 = fma(x, y0, s20);
            s21 = fma(x, y1, s21);
            x = at(a, a3 + k);
            s30 = fma(x, y0, s30);
            s31 = fma(x, y1, s31);
        }
        c[co] = rest(end, K, a, a0, b, b0, sum(s00));
        c[co + 1] = rest(end, K, a, a0, b, b1, sum(s01));
        c[co + ldc] = rest(end, K, a, a1, b, b0, sum(s10));
        c[co + ldc + 1] = rest(end, K, a, a1, b, b1, sum(s11));
        c[co + 2 * ldc] = rest(end, K, a, a2, b, b0, sum(s20));
        c[co + 2 * ldc + 1] = rest(end, K, a, a2, b, b1, sum(s21));
        c[co + 3 * ldc] = rest(end, K, a, a3, b, b0, sum(s30));
        c[co + 3 * ldc + 1] = rest(end, K, a, a3, b, b1, sum(s31));
    }
}
