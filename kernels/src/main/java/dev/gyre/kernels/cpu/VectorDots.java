package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;
import static dev.gyre.kernels.cpu.Vectors.sum;
import static dev.gyre.kernels.cpu.Vectors.whole;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;

/// [SimdTiles#dots]: every element of c is one vector of partial sums over k in steps of [Vectors#L], its lanes added
/// ([Vectors#sum]), then the last k one by one. All tiles keep to that order, so that a token's logits do not depend on how
/// many tokens are computed with it.
final class VectorDots {
    /// Lanes whose number has this bit, and lanes that change places across it.
    private static final VectorMask<Float> BIT8 = lanesWith(8);
    private static final VectorMask<Float> BIT4 = lanesWith(4);
    private static final VectorMask<Float> BIT2 = lanesWith(2);
    private static final VectorMask<Float> BIT1 = lanesWith(1);
    private static final VectorShuffle<Float> SWAP8 = VectorShuffle.fromOp(S, i -> (i ^ 8) % L);
    private static final VectorShuffle<Float> SWAP4 = VectorShuffle.fromOp(S, i -> (i ^ 4) % L);
    private static final VectorShuffle<Float> SWAP2 = VectorShuffle.fromOp(S, i -> i ^ 2);
    private static final VectorShuffle<Float> SWAP1 = VectorShuffle.fromOp(S, i -> i ^ 1);
    private static final VectorShuffle<Float> EVEN = VectorShuffle.fromOp(S, i -> 2 * i % L);
    private static final VectorMask<Float> EIGHT = S.indexInRange(0, 8);

    private VectorDots() {
    }

    private static VectorMask<Float> lanesWith(int bit) {
        boolean[] m = new boolean[L];
        for (int i = 0; i < L; i++)
            m[i] = (i & bit) != 0;
        return VectorMask.fromArray(S, m, 0);
    }

    /// The sums of a tile are added by another method, because one method with both exceeds C2's inlining budget.
    ///
    /// @param tile work space of 17 vectors
    static void dots(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, int ldb, float[] c, int co,
            int ldc, float[] tile) {
        int i = 0;
        if (L == 16)
            for (; i <= M - 8; i += 8) {
                int j = 0;
                for (; j <= N - 2; j += 2) {
                    tile8x2(K, a, ao + i * lda, lda, b, bo + j * ldb, ldb, tile);
                    for (int q = 0; q < 2; q++) {
                        sums(tile, 8 * L * q, tile, 16 * L);
                        for (int r = 0; r < 8; r++)
                            c[co + (i + r) * ldc + j + q] = rest(K, a, ao + (i + r) * lda, b, bo + (j + q) * ldb,
                                    tile[16 * L + r]);
                    }
                }
                for (; j < N; j++)
                    for (int r = 0; r < 8; r++)
                        c[co + (i + r) * ldc + j] = one(K, a, ao + (i + r) * lda, b, bo + j * ldb);
            }
        for (; i <= M - 4; i += 4) {
            int j = 0;
            for (; j <= N - 2; j += 2) {
                tile4x2(K, a, ao + i * lda, lda, b, bo + j * ldb, ldb, tile);
                sums(tile, 0, tile, 16 * L);
                for (int r = 0; r < 4; r++)
                    for (int q = 0; q < 2; q++)
                        c[co + (i + r) * ldc + j + q] = rest(K, a, ao + (i + r) * lda, b, bo + (j + q) * ldb,
                                tile[16 * L + 4 * q + r]);
            }
            for (; j < N; j++)
                for (int r = 0; r < 4; r++)
                    c[co + (i + r) * ldc + j] = one(K, a, ao + (i + r) * lda, b, bo + j * ldb);
        }
        for (; i < M; i++) {
            int ai = ao + i * lda;
            int ci = co + i * ldc;
            int j = 0;
            for (; j <= N - 8; j += 8) {
                tile1x8(K, a, ai, b, bo + j * ldb, ldb, tile);
                sums(tile, 0, c, ci + j);
                if (whole(K) < K)
                    for (int q = 0; q < 8; q++)
                        c[ci + j + q] = rest(K, a, ai, b, bo + (j + q) * ldb, c[ci + j + q]);
            }
            for (; j < N; j++)
                c[ci + j] = one(K, a, ai, b, bo + j * ldb);
        }
    }

    /// [Vectors#sum] of each of eight vectors, to the bit: at every step of the sum one vector holds what two held.
    static void sums(float[] tile, int at, float[] c, int co) {
        FloatVector s0 = at(tile, at);
        FloatVector s1 = at(tile, at + L);
        FloatVector s2 = at(tile, at + 2 * L);
        FloatVector s3 = at(tile, at + 3 * L);
        FloatVector s4 = at(tile, at + 4 * L);
        FloatVector s5 = at(tile, at + 5 * L);
        FloatVector s6 = at(tile, at + 6 * L);
        FloatVector s7 = at(tile, at + 7 * L);
        if (L == 16) {
            FloatVector t0 = halves(s0, s4, BIT8, SWAP8);
            FloatVector t1 = halves(s1, s5, BIT8, SWAP8);
            FloatVector t2 = halves(s2, s6, BIT8, SWAP8);
            FloatVector t3 = halves(s3, s7, BIT8, SWAP8);
            FloatVector t = halves(halves(t0, t2, BIT4, SWAP4), halves(t1, t3, BIT4, SWAP4), BIT2, SWAP2);
            t.add(t.rearrange(SWAP1)).rearrange(EVEN).intoArray(c, co, EIGHT);
        } else
            if (L == 8) {
                FloatVector t0 = halves(s0, s4, BIT4, SWAP4);
                FloatVector t1 = halves(s1, s5, BIT4, SWAP4);
                FloatVector t2 = halves(s2, s6, BIT4, SWAP4);
                FloatVector t3 = halves(s3, s7, BIT4, SWAP4);
                halves(halves(t0, t2, BIT2, SWAP2), halves(t1, t3, BIT2, SWAP2), BIT1, SWAP1).intoArray(c, co);
            } else {
                halves(halves(s0, s2, BIT2, SWAP2), halves(s1, s3, BIT2, SWAP2), BIT1, SWAP1).intoArray(c, co);
                halves(halves(s4, s6, BIT2, SWAP2), halves(s5, s7, BIT2, SWAP2), BIT1, SWAP1).intoArray(c, co + 4);
            }
    }

    /// x's sums of two lanes where the lane's number lacks the bit, y's where it has it.
    private static FloatVector halves(FloatVector x, FloatVector y, VectorMask<Float> bit, VectorShuffle<Float> swap) {
        return x.blend(y, bit).add(y.blend(x, bit).rearrange(swap));
    }

    private static float one(int K, float[] a, int ao, float[] b, int bo) {
        FloatVector s = FloatVector.zero(S);
        int end = whole(K);
        for (int k = 0; k < end; k += L)
            s = fma(at(a, ao + k), at(b, bo + k), s);
        return rest(K, a, ao, b, bo, sum(s));
    }

    private static float rest(int K, float[] a, int ao, float[] b, int bo, float sum) {
        float s = sum;
        for (int k = whole(K); k < K; k++)
            s += a[ao + k] * b[bo + k];
        return s;
    }

    private static void tile1x8(int K, float[] a, int ao, float[] b, int b0, int ldb, float[] c) {
        int b1 = b0 + ldb;
        int b2 = b1 + ldb;
        int b3 = b2 + ldb;
        int b4 = b3 + ldb;
        int b5 = b4 + ldb;
        int b6 = b5 + ldb;
        int b7 = b6 + ldb;
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        FloatVector s4 = s0;
        FloatVector s5 = s0;
        FloatVector s6 = s0;
        FloatVector s7 = s0;
        int end = whole(K);
        for (int k = 0; k < end; k += L) {
            FloatVector x = at(a, ao + k);
            s0 = fma(x, at(b, b0 + k), s0);
            s1 = fma(x, at(b, b1 + k), s1);
            s2 = fma(x, at(b, b2 + k), s2);
            s3 = fma(x, at(b, b3 + k), s3);
            s4 = fma(x, at(b, b4 + k), s4);
            s5 = fma(x, at(b, b5 + k), s5);
            s6 = fma(x, at(b, b6 + k), s6);
            s7 = fma(x, at(b, b7 + k), s7);
        }
        s0.intoArray(c, 0);
        s1.intoArray(c, L);
        s2.intoArray(c, 2 * L);
        s3.intoArray(c, 3 * L);
        s4.intoArray(c, 4 * L);
        s5.intoArray(c, 5 * L);
        s6.intoArray(c, 6 * L);
        s7.intoArray(c, 7 * L);
    }

    private static void tile4x2(int K, float[] a, int a0, int lda, float[] b, int b0, int ldb, float[] c) {
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
        s00.intoArray(c, 0);
        s10.intoArray(c, L);
        s20.intoArray(c, 2 * L);
        s30.intoArray(c, 3 * L);
        s01.intoArray(c, 4 * L);
        s11.intoArray(c, 5 * L);
        s21.intoArray(c, 6 * L);
        s31.intoArray(c, 7 * L);
    }

    private static void tile8x2(int K, float[] a, int a0, int lda, float[] b, int b0, int ldb, float[] c) {
        int a1 = a0 + lda;
        int a2 = a1 + lda;
        int a3 = a2 + lda;
        int a4 = a3 + lda;
        int a5 = a4 + lda;
        int a6 = a5 + lda;
        int a7 = a6 + lda;
        int b1 = b0 + ldb;
        FloatVector s00 = FloatVector.zero(S);
        FloatVector s01 = s00;
        FloatVector s10 = s00;
        FloatVector s11 = s00;
        FloatVector s20 = s00;
        FloatVector s21 = s00;
        FloatVector s30 = s00;
        FloatVector s31 = s00;
        FloatVector s40 = s00;
        FloatVector s41 = s00;
        FloatVector s50 = s00;
        FloatVector s51 = s00;
        FloatVector s60 = s00;
        FloatVector s61 = s00;
        FloatVector s70 = s00;
        FloatVector s71 = s00;
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
            x = at(a, a4 + k);
            s40 = fma(x, y0, s40);
            s41 = fma(x, y1, s41);
            x = at(a, a5 + k);
            s50 = fma(x, y0, s50);
            s51 = fma(x, y1, s51);
            x = at(a, a6 + k);
            s60 = fma(x, y0, s60);
            s61 = fma(x, y1, s61);
            x = at(a, a7 + k);
            s70 = fma(x, y0, s70);
            s71 = fma(x, y1, s71);
        }
        s00.intoArray(c, 0);
        s10.intoArray(c, L);
        s20.intoArray(c, 2 * L);
        s30.intoArray(c, 3 * L);
        s40.intoArray(c, 4 * L);
        s50.intoArray(c, 5 * L);
        s60.intoArray(c, 6 * L);
        s70.intoArray(c, 7 * L);
        s01.intoArray(c, 8 * L);
        s11.intoArray(c, 9 * L);
        s21.intoArray(c, 10 * L);
        s31.intoArray(c, 11 * L);
        s41.intoArray(c, 12 * L);
        s51.intoArray(c, 13 * L);
        s61.intoArray(c, 14 * L);
        s71.intoArray(c, 15 * L);
    }
}
