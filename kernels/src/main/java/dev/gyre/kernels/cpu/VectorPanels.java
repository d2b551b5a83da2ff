package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;

import jdk.incubator.vector.FloatVector;

/// Register tiles of rows of a times a packed panel of b: [SimdTiles#product].
final class VectorPanels {
    private VectorPanels() {
    }

    static void panel6(int M, int kc, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co,
            int ldc) {
        int last = ao + (M - 1) * lda;
        for (int i = 0; i < M; i += 6) {
            int a0 = ao + i * lda;
            int a1 = Math.min(last, a0 + lda);
            int a2 = Math.min(last, a1 + lda);
            int a3 = Math.min(last, a2 + lda);
            int a4 = Math.min(last, a3 + lda);
            int a5 = Math.min(last, a4 + lda);
            int ci = co + i * ldc;
            FloatVector c00 = FloatVector.zero(S);
            FloatVector c01 = FloatVector.zero(S);
            FloatVector c10 = FloatVector.zero(S);
            FloatVector c11 = FloatVector.zero(S);
            FloatVector c20 = FloatVector.zero(S);
            FloatVector c21 = FloatVector.zero(S);
            FloatVector c30 = FloatVector.zero(S);
            FloatVector c31 = FloatVector.zero(S);
            FloatVector c40 = FloatVector.zero(S);
            FloatVector c41 = FloatVector.zero(S);
            FloatVector c50 = FloatVector.zero(S);
            FloatVector c51 = FloatVector.zero(S);
            for (int k = 0; k < kc; k++) {
                FloatVector b0 = at(b, bo + 2 * L * k);
                FloatVector b1 = at(b, bo + 2 * L * k + L);
                FloatVector x = FloatVector.broadcast(S, a[a0 + k]);
                c00 = fma(x, b0, c00);
                c01 = fma(x, b1, c01);
                x = FloatVector.broadcast(S, a[a1 + k]);
                c10 = fma(x, b0, c10);
                c11 = fma(x, b1, c11);
                x = FloatVector.broadcast(S, a[a2 + k]);
                c20 = fma(x, b0, c20);
                c21 = fma(x, b1, c21);
                x = FloatVector.broadcast(S, a[a3 + k]);
                c30 = fma(x, b0, c30);
                c31 = fma(x, b1, c31);
                x = FloatVector.broadcast(S, a[a4 + k]);
                c40 = fma(x, b0, c40);
                c41 = fma(x, b1, c41);
                x = FloatVector.broadcast(S, a[a5 + k]);
                c50 = fma(x, b0, c50);
                c51 = fma(x, b1, c51);
            }
            c00.intoArray(c, ci);
            c01.intoArray(c, ci + L);
            c10.intoArray(c, ci + ldc);
            c11.intoArray(c, ci + ldc + L);
            c20.intoArray(c, ci + 2 * ldc);
            c21.intoArray(c, ci + 2 * ldc + L);
            c30.intoArray(c, ci + 3 * ldc);
            c31.intoArray(c, ci + 3 * ldc + L);
            c40.intoArray(c, ci + 4 * ldc);
            c41.intoArray(c, ci + 4 * ldc + L);
            c50.intoArray(c, ci + 5 * ldc);
            c51.intoArray(c, ci + 5 * ldc + L);
        }
    }

    static void panel8(int M, int kc, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co,
            int ldc) {
        int last = ao + (M - 1) * lda;
        for (int i = 0; i < M; i += 8) {
            int a0 = ao + i * lda;
            int a1 = Math.min(last, a0 + lda);
            int a2 = Math.min(last, a1 + lda);
            int a3 = Math.min(last, a2 + lda);
            int a4 = Math.min(last, a3 + lda);
            int a5 = Math.min(last, a4 + lda);
            int a6 = Math.min(last, a5 + lda);
            int a7 = Math.min(last, a6 + lda);
            int ci = co + i * ldc;
            FloatVector c00 = FloatVector.zero(S);
            FloatVector c01 = FloatVector.zero(S);
            FloatVector c10 = FloatVector.zero(S);
            FloatVector c11 = FloatVector.zero(S);
            FloatVector c20 = FloatVector.zero(S);
            FloatVector c21 = FloatVector.zero(S);
            FloatVector c30 = FloatVector.zero(S);
            FloatVector c31 = FloatVector.zero(S);
            FloatVector c40 = FloatVector.zero(S);
            FloatVector c41 = FloatVector.zero(S);
            FloatVector c50 = FloatVector.zero(S);
            FloatVector c51 = FloatVector.zero(S);
            FloatVector c60 = FloatVector.zero(S);
            FloatVector c61 = FloatVector.zero(S);
            FloatVector c70 = FloatVector.zero(S);
            FloatVector c71 = FloatVector.zero(S);
            for (int k = 0; k < kc; k++) {
                FloatVector b0 = at(b, bo + 2 * L * k);
                FloatVector b1 = at(b, bo + 2 * L * k + L);
                FloatVector x = FloatVector.broadcast(S, a[a0 + k]);
                c00 = fma(x, b0, c00);
                c01 = fma(x, b1, c01);
                x = FloatVector.broadcast(S, a[a1 + k]);
                c10 = fma(x, b0, c10);
                c11 = fma(x, b1, c11);
                x = FloatVector.broadcast(S, a[a2 + k]);
                c20 = fma(x, b0, c20);
                c21 = fma(x, b1, c21);
                x = FloatVector.broadcast(S, a[a3 + k]);
                c30 = fma(x, b0, c30);
                c31 = fma(x, b1, c31);
                x = FloatVector.broadcast(S, a[a4 + k]);
                c40 = fma(x, b0, c40);
                c41 = fma(x, b1, c41);
                x = FloatVector.broadcast(S, a[a5 + k]);
                c50 = fma(x, b0, c50);
                c51 = fma(x, b1, c51);
                x = FloatVector.broadcast(S, a[a6 + k]);
                c60 = fma(x, b0, c60);
                c61 = fma(x, b1, c61);
                x = FloatVector.broadcast(S, a[a7 + k]);
                c70 = fma(x, b0, c70);
                c71 = fma(x, b1, c71);
            }
            c00.intoArray(c, ci);
            c01.intoArray(c, ci + L);
            c10.intoArray(c, ci + ldc);
            c11.intoArray(c, ci + ldc + L);
            c20.intoArray(c, ci + 2 * ldc);
            c21.intoArray(c, ci + 2 * ldc + L);
            c30.intoArray(c, ci + 3 * ldc);
            c31.intoArray(c, ci + 3 * ldc + L);
            c40.intoArray(c, ci + 4 * ldc);
            c41.intoArray(c, ci + 4 * ldc + L);
            c50.intoArray(c, ci + 5 * ldc);
            c51.intoArray(c, ci + 5 * ldc + L);
            c60.intoArray(c, ci + 6 * ldc);
            c61.intoArray(c, ci + 6 * ldc + L);
            c70.intoArray(c, ci + 7 * ldc);
            c71.intoArray(c, ci + 7 * ldc + L);
        }
    }
}
