package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.at;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/// [SimdLayout] in vectors. Transposes use blocks of 8 x 8 if vectors have at least 256 bits, and of 4 x 4 otherwise
/// and for four remaining rows.
final class VectorLayout implements SimdLayout {
    private static final VectorSpecies<Float> S4 = FloatVector.SPECIES_128;
    private static final VectorSpecies<Float> S8 = FloatVector.SPECIES_256;
    private static final VectorShuffle<Float> SWAP41 = VectorShuffle.fromOp(S4, i -> i ^ 1);
    private static final VectorShuffle<Float> SWAP42 = VectorShuffle.fromOp(S4, i -> i ^ 2);
    private static final VectorShuffle<Float> SWAP81 = VectorShuffle.fromOp(S8, i -> i ^ 1);
    private static final VectorShuffle<Float> SWAP82 = VectorShuffle.fromOp(S8, i -> i ^ 2);
    private static final VectorShuffle<Float> SWAP84 = VectorShuffle.fromOp(S8, i -> i ^ 4);
    private static final VectorMask<Float> ODD41 = odd(S4, 1);
    private static final VectorMask<Float> ODD42 = odd(S4, 2);
    private static final VectorMask<Float> ODD81 = odd(S8, 1);
    private static final VectorMask<Float> ODD82 = odd(S8, 2);
    private static final VectorMask<Float> ODD84 = odd(S8, 4);

    private static VectorMask<Float> odd(VectorSpecies<Float> species, int bit) {
        boolean[] m = new boolean[species.length()];
        for (int i = 0; i < m.length; i++)
            m[i] = (i & bit) != 0;
        return VectorMask.fromArray(species, m, 0);
    }

    @Override
    public void copy(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        if (cols == L)
            for (int r = 0; r < rows; r++)
                at(x, xo + r * ldx).intoArray(y, yo + r * ldy);
        else
            if (cols > 16 * L)
                for (int r = 0; r < rows; r++)
                    System.arraycopy(x, xo + r * ldx, y, yo + r * ldy, cols);
            else
                for (int r = 0; r < rows; r++) {
                    int c = 0;
                    for (; c <= cols - L; c += L)
                        at(x, xo + r * ldx + c).intoArray(y, yo + r * ldy + c);
                    for (; c <= cols - 4; c += 4)
                        FloatVector.fromArray(S4, x, xo + r * ldx + c).intoArray(y, yo + r * ldy + c);
                    for (; c < cols; c++)
                        y[yo + r * ldy + c] = x[xo + r * ldx + c];
                }
    }

    @Override
    public void transpose(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        int r = 0;
        if (L >= 8)
            for (; r <= rows - 8; r += 8) {
                int c = 0;
                for (; c <= cols - 8; c += 8)
                    transpose8(x, xo + r * ldx + c, ldx, y, yo + c * ldy + r, ldy);
                transposeRest(x, xo, ldx, r, r + 8, c, cols, y, yo, ldy);
            }
        for (; r <= rows - 4; r += 4) {
            int c = 0;
            for (; c <= cols - 4; c += 4)
                transpose4(x, xo + r * ldx + c, ldx, y, yo + c * ldy + r, ldy);
            transposeRest(x, xo, ldx, r, r + 4, c, cols, y, yo, ldy);
        }
        transposeRest(x, xo, ldx, r, rows, 0, cols, y, yo, ldy);
    }

    private static void transposeRest(float[] x, int xo, int ldx, int r0, int r1, int c0, int c1, float[] y, int yo,
            int ldy) {
        for (int r = r0; r < r1; r++)
            for (int c = c0; c < c1; c++)
                y[yo + c * ldy + r] = x[xo + r * ldx + c];
    }

    private static FloatVector even(FloatVector a, FloatVector b, VectorShuffle<Float> swap, VectorMask<Float> odd) {
        return a.blend(b.rearrange(swap), odd);
    }

    private static FloatVector odd(FloatVector a, FloatVector b, VectorShuffle<Float> swap, VectorMask<Float> odd) {
        return a.rearrange(swap).blend(b, odd);
    }

    private static void transpose4(float[] x, int xo, int ldx, float[] y, int yo, int ldy) {
        FloatVector a0 = FloatVector.fromArray(S4, x, xo);
        FloatVector a1 = FloatVector.fromArray(S4, x, xo + ldx);
        FloatVector a2 = FloatVector.fromArray(S4, x, xo + 2 * ldx);
        FloatVector a3 = FloatVector.fromArray(S4, x, xo + 3 * ldx);
        FloatVector b0 = even(a0, a2, SWAP42, ODD42);
        FloatVector b2 = odd(a0, a2, SWAP42, ODD42);
        FloatVector b1 = even(a1, a3, SWAP42, ODD42);
        FloatVector b3 = odd(a1, a3, SWAP42, ODD42);
        even(b0, b1, SWAP41, ODD41).intoArray(y, yo);
        odd(b0, b1, SWAP41, ODD41).intoArray(y, yo + ldy);
        even(b2, b3, SWAP41, ODD41).intoArray(y, yo + 2 * ldy);
        odd(b2, b3, SWAP41, ODD41).intoArray(y, yo + 3 * ldy);
    }

    private static void transpose8(float[] x, int xo, int ldx, float[] y, int yo, int ldy) {
        FloatVector a0 = FloatVector.fromArray(S8, x, xo);
        FloatVector a1 = FloatVector.fromArray(S8, x, xo + ldx);
        FloatVector a2 = FloatVector.fromArray(S8, x, xo + 2 * ldx);
        FloatVector a3 = FloatVector.fromArray(S8, x, xo + 3 * ldx);
        FloatVector a4 = FloatVector.fromArray(S8, x, xo + 4 * ldx);
        FloatVector a5 = FloatVector.fromArray(S8, x, xo + 5 * ldx);
        FloatVector a6 = FloatVector.fromArray(S8, x, xo + 6 * ldx);
        FloatVector a7 = FloatVector.fromArray(S8, x, xo + 7 * ldx);
        FloatVector b0 = even(a0, a4, SWAP84, ODD84);
        FloatVector b4 = odd(a0, a4, SWAP84, ODD84);
        FloatVector b1 = even(a1, a5, SWAP84, ODD84);
        FloatVector b5 = odd(a1, a5, SWAP84, ODD84);
        FloatVector b2 = even(a2, a6, SWAP84, ODD84);
        FloatVector b6 = odd(a2, a6, SWAP84, ODD84);
        FloatVector b3 = even(a3, a7, SWAP84, ODD84);
        FloatVector b7 = odd(a3, a7, SWAP84, ODD84);
        FloatVector c0 = even(b0, b2, SWAP82, ODD82);
        FloatVector c2 = odd(b0, b2, SWAP82, ODD82);
        FloatVector c1 = even(b1, b3, SWAP82, ODD82);
        FloatVector c3 = odd(b1, b3, SWAP82, ODD82);
        FloatVector c4 = even(b4, b6, SWAP82, ODD82);
        FloatVector c6 = odd(b4, b6, SWAP82, ODD82);
        FloatVector c5 = even(b5, b7, SWAP82, ODD82);
        FloatVector c7 = odd(b5, b7, SWAP82, ODD82);
        even(c0, c1, SWAP81, ODD81).intoArray(y, yo);
        odd(c0, c1, SWAP81, ODD81).intoArray(y, yo + ldy);
        even(c2, c3, SWAP81, ODD81).intoArray(y, yo + 2 * ldy);
        odd(c2, c3, SWAP81, ODD81).intoArray(y, yo + 3 * ldy);
        even(c4, c5, SWAP81, ODD81).intoArray(y, yo + 4 * ldy);
        odd(c4, c5, SWAP81, ODD81).intoArray(y, yo + 5 * ldy);
        even(c6, c7, SWAP81, ODD81).intoArray(y, yo + 6 * ldy);
        odd(c6, c7, SWAP81, ODD81).intoArray(y, yo + 7 * ldy);
    }
}
