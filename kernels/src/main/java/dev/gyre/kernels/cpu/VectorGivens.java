package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;

/// [SimdGivens] in vectors: a group is one vector.
final class VectorGivens implements SimdGivens {
    private static final int STEPS = Integer.numberOfTrailingZeros(L);
    private static final VectorShuffle<Float> SWAP1 = VectorShuffle.fromOp(S, i -> i ^ 1);
    private static final VectorShuffle<Float> SWAP2 = VectorShuffle.fromOp(S, i -> i ^ 2);
    private static final VectorShuffle<Float> SWAP4 = VectorShuffle.fromOp(S, i -> (i ^ 4) % L);
    private static final VectorShuffle<Float> SWAP8 = VectorShuffle.fromOp(S, i -> (i ^ 8) % L);

    @Override
    public int width() {
        return L;
    }

    private static final VectorMask<Float> FIRST = S.indexInRange(0, 1);
    /// Groups of two rows that [#rotate] rotates before the next rows: with one group of all rows at a time, rows a
    /// power of two apart would evict each other from the first-level cache.
    private static final int RUN = 32;

    @Override
    public void rotate(int rows, int groups, float[] coefficients, int co, float[] x, int xo, int ldx, float[] first,
            int fo, int ldf, float[] y, int yo, int ldy) {
        for (int g = 0; g < groups; g += RUN) {
            int n = Math.min(RUN, groups - g);
            for (int r = 0; r < rows; r += 2) {
                int s = Math.min(r + 1, rows - 1); // the last row of an odd number is rotated twice, from the same input
                givens2(n, coefficients, co + 2 * STEPS * L * g, x, xo + r * ldx + g * L, xo + s * ldx + g * L, first,
                        fo + r * ldf + g, fo + s * ldf + g, y, yo + r * ldy + g * L, yo + s * ldy + g * L);
            }
        }
    }

    private static void givens2(int groups, float[] coefficients, int co, float[] x, int x0, int x1, float[] first,
            int f0, int f1, float[] y, int y0, int y1) {
        for (int g = 0; g < groups; g++) {
            int at = co + 2 * STEPS * L * g;
            FloatVector v = at(x, x0 + g * L).blend(first[f0 + g], FIRST);
            FloatVector w = at(x, x1 + g * L).blend(first[f1 + g], FIRST);
            if (L >= 16) {
                FloatVector a = at(coefficients, at + 6 * L);
                FloatVector b = at(coefficients, at + 7 * L);
                v = fma(v, a, v.rearrange(SWAP8).mul(b));
                w = fma(w, a, w.rearrange(SWAP8).mul(b));
            }
            if (L >= 8) {
                FloatVector a = at(coefficients, at + 4 * L);
                FloatVector b = at(coefficients, at + 5 * L);
                v = fma(v, a, v.rearrange(SWAP4).mul(b));
                w = fma(w, a, w.rearrange(SWAP4).mul(b));
            }
            FloatVector a2 = at(coefficients, at + 2 * L);
            FloatVector b2 = at(coefficients, at + 3 * L);
            v = fma(v, a2, v.rearrange(SWAP2).mul(b2));
            w = fma(w, a2, w.rearrange(SWAP2).mul(b2));
            FloatVector a1 = at(coefficients, at);
            FloatVector b1 = at(coefficients, at + L);
            v = fma(v, a1, v.rearrange(SWAP1).mul(b1));
            w = fma(w, a1, w.rearrange(SWAP1).mul(b1));
            v.intoArray(y, y0 + g * L);
            w.intoArray(y, y1 + g * L);
        }
    }

    @Override
    public void rotateGrad(int rows, int groups, float[] coefficients, int co, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int so) {
        for (int g = 0; g < groups; g++) {
            int at = co + 2 * STEPS * L * g;
            int to = so + 2 * STEPS * L * g;
            if (L >= 16)
                givensGrad16(rows, coefficients, at, x, xo + g * L, w, wo + g * L, ld, sums, to);
            else
                if (L == 8)
                    givensGrad8(rows, coefficients, at, x, xo + g * L, w, wo + g * L, ld, sums, to);
                else
                    givensGrad4(rows, coefficients, at, x, xo + g * L, w, wo + g * L, ld, sums, to);
        }
    }

    /// Strides 2 and 1 backwards, given their inputs; the two steps common to all widths.
    private static void givensGrad4(int rows, float[] coefficients, int at, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int to) {
        FloatVector a1 = at(coefficients, at);
        FloatVector b1 = at(coefficients, at + L);
        FloatVector a2 = at(coefficients, at + 2 * L);
        FloatVector b2 = at(coefficients, at + 3 * L);
        FloatVector da1 = at(sums, to);
        FloatVector db1 = at(sums, to + L);
        FloatVector da2 = at(sums, to + 2 * L);
        FloatVector db2 = at(sums, to + 3 * L);
        for (int r = 0; r < rows; r++) {
            FloatVector x2 = at(x, xo + r * ld);
            FloatVector s2 = x2.rearrange(SWAP2);
            FloatVector x1 = fma(x2, a2, s2.mul(b2));
            FloatVector s1 = x1.rearrange(SWAP1);
            FloatVector u = at(w, wo + r * ld);
            da1 = fma(x1, u, da1);
            db1 = fma(s1, u, db1);
            u = fma(u, a1, u.mul(b1).rearrange(SWAP1));
            da2 = fma(x2, u, da2);
            db2 = fma(s2, u, db2);
            fma(u, a2, u.mul(b2).rearrange(SWAP2)).intoArray(w, wo + r * ld);
        }
        da1.intoArray(sums, to);
        db1.intoArray(sums, to + L);
        da2.intoArray(sums, to + 2 * L);
        db2.intoArray(sums, to + 3 * L);
    }

    private static void givensGrad8(int rows, float[] coefficients, int at, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int to) {
        FloatVector a1 = at(coefficients, at);
        FloatVector b1 = at(coefficients, at + L);
        FloatVector a2 = at(coefficients, at + 2 * L);
        FloatVector b2 = at(coefficients, at + 3 * L);
        FloatVector a4 = at(coefficients, at + 4 * L);
        FloatVector b4 = at(coefficients, at + 5 * L);
        FloatVector da1 = at(sums, to);
        FloatVector db1 = at(sums, to + L);
        FloatVector da2 = at(sums, to + 2 * L);
        FloatVector db2 = at(sums, to + 3 * L);
        FloatVector da4 = at(sums, to + 4 * L);
        FloatVector db4 = at(sums, to + 5 * L);
        for (int r = 0; r < rows; r++) {
            FloatVector x4 = at(x, xo + r * ld);
            FloatVector s4 = x4.rearrange(SWAP4);
            FloatVector x2 = fma(x4, a4, s4.mul(b4));
            FloatVector s2 = x2.rearrange(SWAP2);
            FloatVector x1 = fma(x2, a2, s2.mul(b2));
            FloatVector u = at(w, wo + r * ld);
            da1 = fma(x1, u, da1);
            db1 = fma(x1.rearrange(SWAP1), u, db1);
            u = fma(u, a1, u.mul(b1).rearrange(SWAP1));
            da2 = fma(x2, u, da2);
            db2 = fma(s2, u, db2);
            u = fma(u, a2, u.mul(b2).rearrange(SWAP2));
            da4 = fma(x4, u, da4);
            db4 = fma(s4, u, db4);
            fma(u, a4, u.mul(b4).rearrange(SWAP4)).intoArray(w, wo + r * ld);
        }
        da1.intoArray(sums, to);
        db1.intoArray(sums, to + L);
        da2.intoArray(sums, to + 2 * L);
        db2.intoArray(sums, to + 3 * L);
        da4.intoArray(sums, to + 4 * L);
        db4.intoArray(sums, to + 5 * L);
    }

    private static void givensGrad16(int rows, float[] coefficients, int at, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int to) {
        FloatVector a1 = at(coefficients, at);
        FloatVector b1 = at(coefficients, at + L);
        FloatVector a2 = at(coefficients, at + 2 * L);
        FloatVector b2 = at(coefficients, at + 3 * L);
        FloatVector a4 = at(coefficients, at + 4 * L);
        FloatVector b4 = at(coefficients, at + 5 * L);
        FloatVector a8 = at(coefficients, at + 6 * L);
        FloatVector b8 = at(coefficients, at + 7 * L);
        FloatVector da1 = at(sums, to);
        FloatVector db1 = at(sums, to + L);
        FloatVector da2 = at(sums, to + 2 * L);
        FloatVector db2 = at(sums, to + 3 * L);
        FloatVector da4 = at(sums, to + 4 * L);
        FloatVector db4 = at(sums, to + 5 * L);
        FloatVector da8 = at(sums, to + 6 * L);
        FloatVector db8 = at(sums, to + 7 * L);
        for (int r = 0; r < rows; r++) {
            FloatVector x8 = at(x, xo + r * ld);
            FloatVector s8 = x8.rearrange(SWAP8);
            FloatVector x4 = fma(x8, a8, s8.mul(b8));
            FloatVector s4 = x4.rearrange(SWAP4);
            FloatVector x2 = fma(x4, a4, s4.mul(b4));
            FloatVector s2 = x2.rearrange(SWAP2);
            FloatVector x1 = fma(x2, a2, s2.mul(b2));
            FloatVector u = at(w, wo + r * ld);
            da1 = fma(x1, u, da1);
            db1 = fma(x1.rearrange(SWAP1), u, db1);
            u = fma(u, a1, u.mul(b1).rearrange(SWAP1));
            da2 = fma(x2, u, da2);
            db2 = fma(s2, u, db2);
            u = fma(u, a2, u.mul(b2).rearrange(SWAP2));
            da4 = fma(x4, u, da4);
            db4 = fma(s4, u, db4);
            u = fma(u, a4, u.mul(b4).rearrange(SWAP4));
            da8 = fma(x8, u, da8);
            db8 = fma(s8, u, db8);
            fma(u, a8, u.mul(b8).rearrange(SWAP8)).intoArray(w, wo + r * ld);
        }
        da1.intoArray(sums, to);
        db1.intoArray(sums, to + L);
        da2.intoArray(sums, to + 2 * L);
        db2.intoArray(sums, to + 3 * L);
        da4.intoArray(sums, to + 4 * L);
        db4.intoArray(sums, to + 5 * L);
        da8.intoArray(sums, to + 6 * L);
        db8.intoArray(sums, to + 7 * L);
    }
}
