package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/// Register tiles of operands that are not packed: [SimdTiles#mulAdd].
final class VectorSmallProducts {
    private VectorSmallProducts() {
    }

    static void outer4(int K, float[] a, int ao, int colStep, float[] b, int bo, int ldb, float[] z, int zo,
            int ldz, float[] c, int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[ai + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[ai + 2]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[ai + 3]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
        c10.add(at(z, zo + ldz)).intoArray(c, co + ldc);
        c11.add(at(z, zo + ldz + L)).intoArray(c, co + ldc + L);
        c20.add(at(z, zo + 2 * ldz)).intoArray(c, co + 2 * ldc);
        c21.add(at(z, zo + 2 * ldz + L)).intoArray(c, co + 2 * ldc + L);
        c30.add(at(z, zo + 3 * ldz)).intoArray(c, co + 3 * ldc);
        c31.add(at(z, zo + 3 * ldz + L)).intoArray(c, co + 3 * ldc + L);
    }

    static void outer8(int K, float[] a, int ao, int colStep, float[] b, int bo, int ldb, float[] z, int zo,
            int ldz, float[] c, int co, int ldc) {
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
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[ai + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[ai + 2]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[ai + 3]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            x = FloatVector.broadcast(S, a[ai + 4]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            x = FloatVector.broadcast(S, a[ai + 5]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
            x = FloatVector.broadcast(S, a[ai + 6]);
            c60 = fma(x, b0, c60);
            c61 = fma(x, b1, c61);
            x = FloatVector.broadcast(S, a[ai + 7]);
            c70 = fma(x, b0, c70);
            c71 = fma(x, b1, c71);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
        c10.add(at(z, zo + ldz)).intoArray(c, co + ldc);
        c11.add(at(z, zo + ldz + L)).intoArray(c, co + ldc + L);
        c20.add(at(z, zo + 2 * ldz)).intoArray(c, co + 2 * ldc);
        c21.add(at(z, zo + 2 * ldz + L)).intoArray(c, co + 2 * ldc + L);
        c30.add(at(z, zo + 3 * ldz)).intoArray(c, co + 3 * ldc);
        c31.add(at(z, zo + 3 * ldz + L)).intoArray(c, co + 3 * ldc + L);
        c40.add(at(z, zo + 4 * ldz)).intoArray(c, co + 4 * ldc);
        c41.add(at(z, zo + 4 * ldz + L)).intoArray(c, co + 4 * ldc + L);
        c50.add(at(z, zo + 5 * ldz)).intoArray(c, co + 5 * ldc);
        c51.add(at(z, zo + 5 * ldz + L)).intoArray(c, co + 5 * ldc + L);
        c60.add(at(z, zo + 6 * ldz)).intoArray(c, co + 6 * ldc);
        c61.add(at(z, zo + 6 * ldz + L)).intoArray(c, co + 6 * ldc + L);
        c70.add(at(z, zo + 7 * ldz)).intoArray(c, co + 7 * ldc);
        c71.add(at(z, zo + 7 * ldz + L)).intoArray(c, co + 7 * ldc + L);
    }

    static void near4(int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb, float[] z,
            int zo, int ldz, float[] c, int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[ai + rowStep]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[ai + 2 * rowStep]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[ai + 3 * rowStep]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
        c10.add(at(z, zo + ldz)).intoArray(c, co + ldc);
        c11.add(at(z, zo + ldz + L)).intoArray(c, co + ldc + L);
        c20.add(at(z, zo + 2 * ldz)).intoArray(c, co + 2 * ldc);
        c21.add(at(z, zo + 2 * ldz + L)).intoArray(c, co + 2 * ldc + L);
        c30.add(at(z, zo + 3 * ldz)).intoArray(c, co + 3 * ldc);
        c31.add(at(z, zo + 3 * ldz + L)).intoArray(c, co + 3 * ldc + L);
    }

    static void near1(int K, float[] a, int ao, int colStep, float[] b, int bo, int ldb, float[] z, int zo,
            int ldz, float[] c, int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
    }

    static void near4Masked(int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] z, int zo, int ldz, float[] c, int co, int ldc, VectorMask<Float> m) {
        FloatVector c0 = FloatVector.zero(S);
        FloatVector c1 = FloatVector.zero(S);
        FloatVector c2 = FloatVector.zero(S);
        FloatVector c3 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = FloatVector.fromArray(S, b, bi, m);
            c0 = fma(FloatVector.broadcast(S, a[ai]), b0, c0);
            c1 = fma(FloatVector.broadcast(S, a[ai + rowStep]), b0, c1);
            c2 = fma(FloatVector.broadcast(S, a[ai + 2 * rowStep]), b0, c2);
            c3 = fma(FloatVector.broadcast(S, a[ai + 3 * rowStep]), b0, c3);
            ai += colStep;
            bi += ldb;
        }
        c0.add(FloatVector.fromArray(S, z, zo, m)).intoArray(c, co, m);
        c1.add(FloatVector.fromArray(S, z, zo + ldz, m)).intoArray(c, co + ldc, m);
        c2.add(FloatVector.fromArray(S, z, zo + 2 * ldz, m)).intoArray(c, co + 2 * ldc, m);
        c3.add(FloatVector.fromArray(S, z, zo + 3 * ldz, m)).intoArray(c, co + 3 * ldc, m);
    }

    static void near1Masked(int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] z, int zo, int ldz, float[] c, int co, int ldc, VectorMask<Float> m) {
        FloatVector c0 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = FloatVector.fromArray(S, b, bi, m);
            c0 = fma(FloatVector.broadcast(S, a[ai]), b0, c0);
            ai += colStep;
            bi += ldb;
        }
        c0.add(FloatVector.fromArray(S, z, zo, m)).intoArray(c, co, m);
    }
}
