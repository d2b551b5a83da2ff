package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.SimdTiles.DEPTH;
import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;

import java.lang.invoke.VarHandle;
import jdk.incubator.vector.FloatVector;

/// Register tiles of packed operands: [SimdTiles#strip].
final class VectorStrips {
    private VectorStrips() {
    }

    /// Twelve rows of a strip times the halves of a panel into t; needs 32 registers.
    static void strip12(int kc, float[] a, float[] left, float[] right, float[] t) {
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
        FloatVector c80 = FloatVector.zero(S);
        FloatVector c81 = FloatVector.zero(S);
        FloatVector c90 = FloatVector.zero(S);
        FloatVector c91 = FloatVector.zero(S);
        FloatVector c100 = FloatVector.zero(S);
        FloatVector c101 = FloatVector.zero(S);
        FloatVector c110 = FloatVector.zero(S);
        FloatVector c111 = FloatVector.zero(S);
        for (int k = 0; k < kc; k++) {
            int p = L * k;
            FloatVector b0 = at(left, p);
            FloatVector b1 = at(right, p);
            FloatVector x;
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 4 * DEPTH]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 5 * DEPTH]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 6 * DEPTH]);
            c60 = fma(x, b0, c60);
            c61 = fma(x, b1, c61);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 7 * DEPTH]);
            c70 = fma(x, b0, c70);
            c71 = fma(x, b1, c71);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 8 * DEPTH]);
            c80 = fma(x, b0, c80);
            c81 = fma(x, b1, c81);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 9 * DEPTH]);
            c90 = fma(x, b0, c90);
            c91 = fma(x, b1, c91);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 10 * DEPTH]);
            c100 = fma(x, b0, c100);
            c101 = fma(x, b1, c101);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 11 * DEPTH]);
            c110 = fma(x, b0, c110);
            c111 = fma(x, b1, c111);
        }
        c00.intoArray(t, 0);
        c01.intoArray(t, L);
        c10.intoArray(t, 2 * L);
        c11.intoArray(t, 3 * L);
        c20.intoArray(t, 4 * L);
        c21.intoArray(t, 5 * L);
        c30.intoArray(t, 6 * L);
        c31.intoArray(t, 7 * L);
        c40.intoArray(t, 8 * L);
        c41.intoArray(t, 9 * L);
        c50.intoArray(t, 10 * L);
        c51.intoArray(t, 11 * L);
        c60.intoArray(t, 12 * L);
        c61.intoArray(t, 13 * L);
        c70.intoArray(t, 14 * L);
        c71.intoArray(t, 15 * L);
        c80.intoArray(t, 16 * L);
        c81.intoArray(t, 17 * L);
        c90.intoArray(t, 18 * L);
        c91.intoArray(t, 19 * L);
        c100.intoArray(t, 20 * L);
        c101.intoArray(t, 21 * L);
        c110.intoArray(t, 22 * L);
        c111.intoArray(t, 23 * L);
    }

    /// Six rows of a strip times the halves of a panel into t, two values of k at a time. C2 schedules the loads of a
    /// loop as early as it can, which takes more registers than there are, and spills accumulators. A fence keeps loads
    /// after it; on x86 it is no instruction (called through a method of our own it cost a quarter of the speed). With
    /// all indices a constant from a loop variable that starts at 0 this compiles to 43 instructions for 24
    /// multiply-adds, which matters if another thread shares the core.
    static void strip6(int kc, float[] a, float[] left, float[] right, float[] t) {
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
        for (int k = 0; k < kc; k += 2) {
            int p = L * k;
            FloatVector b0 = at(left, p);
            FloatVector b1 = at(right, p);
            FloatVector x;
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 4 * DEPTH]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 5 * DEPTH]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
            b0 = at(left, p + L);
            b1 = at(right, p + L);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 1]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH + 1]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH + 1]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 4 * DEPTH + 1]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 5 * DEPTH + 1]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
        }
        c00.intoArray(t, 0);
        c01.intoArray(t, L);
        c10.intoArray(t, 2 * L);
        c11.intoArray(t, 3 * L);
        c20.intoArray(t, 4 * L);
        c21.intoArray(t, 5 * L);
        c30.intoArray(t, 6 * L);
        c31.intoArray(t, 7 * L);
        c40.intoArray(t, 8 * L);
        c41.intoArray(t, 9 * L);
        c50.intoArray(t, 10 * L);
        c51.intoArray(t, 11 * L);
    }

    /// Four rows of four lanes.
    static void strip4(int kc, float[] a, float[] left, float[] right, float[] t) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        for (int k = 0; k < kc; k += 2) {
            int p = L * k;
            FloatVector b0 = at(left, p);
            FloatVector b1 = at(right, p);
            FloatVector x;
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            b0 = at(left, p + L);
            b1 = at(right, p + L);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 1]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH + 1]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH + 1]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
        }
        c00.intoArray(t, 0);
        c01.intoArray(t, L);
        c10.intoArray(t, 2 * L);
        c11.intoArray(t, 3 * L);
        c20.intoArray(t, 4 * L);
        c21.intoArray(t, 5 * L);
        c30.intoArray(t, 6 * L);
        c31.intoArray(t, 7 * L);
    }

    /// Adds a whole tile of [#strip6], unrolled: for a short inner length the tile itself takes little longer than
    /// this.
    static void addTile6(float[] t, float[] c, int co, int ldc) {
        at(c, co).add(at(t, 0)).intoArray(c, co);
        at(c, co + L).add(at(t, L)).intoArray(c, co + L);
        at(c, co + ldc).add(at(t, 2 * L)).intoArray(c, co + ldc);
        at(c, co + ldc + L).add(at(t, 3 * L)).intoArray(c, co + ldc + L);
        at(c, co + 2 * ldc).add(at(t, 4 * L)).intoArray(c, co + 2 * ldc);
        at(c, co + 2 * ldc + L).add(at(t, 5 * L)).intoArray(c, co + 2 * ldc + L);
        at(c, co + 3 * ldc).add(at(t, 6 * L)).intoArray(c, co + 3 * ldc);
        at(c, co + 3 * ldc + L).add(at(t, 7 * L)).intoArray(c, co + 3 * ldc + L);
        at(c, co + 4 * ldc).add(at(t, 8 * L)).intoArray(c, co + 4 * ldc);
        at(c, co + 4 * ldc + L).add(at(t, 9 * L)).intoArray(c, co + 4 * ldc + L);
        at(c, co + 5 * ldc).add(at(t, 10 * L)).intoArray(c, co + 5 * ldc);
        at(c, co + 5 * ldc + L).add(at(t, 11 * L)).intoArray(c, co + 5 * ldc + L);
    }

    static void copyTile6(float[] t, float[] c, int co, int ldc) {
        at(t, 0).intoArray(c, co);
        at(t, L).intoArray(c, co + L);
        at(t, 2 * L).intoArray(c, co + ldc);
        at(t, 3 * L).intoArray(c, co + ldc + L);
        at(t, 4 * L).intoArray(c, co + 2 * ldc);
        at(t, 5 * L).intoArray(c, co + 2 * ldc + L);
        at(t, 6 * L).intoArray(c, co + 3 * ldc);
        at(t, 7 * L).intoArray(c, co + 3 * ldc + L);
        at(t, 8 * L).intoArray(c, co + 4 * ldc);
        at(t, 9 * L).intoArray(c, co + 4 * ldc + L);
        at(t, 10 * L).intoArray(c, co + 5 * ldc);
        at(t, 11 * L).intoArray(c, co + 5 * ldc + L);
    }
}
