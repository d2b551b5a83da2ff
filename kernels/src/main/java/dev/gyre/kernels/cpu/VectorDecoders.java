package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.SI;
import static dev.gyre.kernels.cpu.Vectors.SS;
import static dev.gyre.kernels.cpu.Vectors.whole;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// [SimdDecoders] in vectors.
final class VectorDecoders implements SimdDecoders {
    private static final VectorSpecies<Float> S8 = FloatVector.SPECIES_256;
    private static final VectorSpecies<Integer> SI8 = IntVector.SPECIES_256;
    private static final VarHandle FOUR_BYTES = MethodHandles.byteArrayViewVarHandle(int[].class,
            ByteOrder.LITTLE_ENDIAN);
    /// Bit positions of the codes of eight elements in four bytes: the even element is the upper half of its byte.
    private static final IntVector NIBBLES = IntVector.fromArray(SI8, new int[] {4, 0, 12, 8, 20, 16, 28, 24}, 0);

    /// The same for sixteen lanes; without so many they are not used.
    private static final IntVector NIBBLES16 = IntVector.fromArray(SI,
            new int[] {4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24}, 0);
    private static final VectorMask<Integer> UPPER = VectorMask.fromLong(SI, L == 16 ? 0xff00 : 0);

    @Override
    public void bf16(short[] x, int xo, float[] y, int yo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            IntVector bits = (IntVector) ShortVector.fromArray(SS, x, xo + i)
                    .convertShape(VectorOperators.ZERO_EXTEND_S2I, SI, 0);
            bits.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().intoArray(y, yo + i);
        }
        for (; i < n; i++)
            y[yo + i] = Float.intBitsToFloat(x[xo + i] << 16);
    }

    @Override
    public void nf4(byte[] codes, int e, float[] codeBook, float absmax, float[] y, int yo, int n) {
        int i = 0;
        if (L == 16 && (e & 1) == 0 && n >= 16)
            i = sixteens(codes, e, codeBook, absmax, y, yo, n);
        if (L >= 8 && (e & 1) == 0 && n - i >= 8) {
            IntVector low = FloatVector.fromArray(S8, codeBook, 0).mul(absmax).reinterpretAsInts();
            IntVector high = FloatVector.fromArray(S8, codeBook, 8).mul(absmax).reinterpretAsInts();
            for (; i <= n - 8; i += 8) {
                IntVector code = IntVector.broadcast(SI8, (int) FOUR_BYTES.get(codes, (e + i) >> 1))
                        .lanewise(VectorOperators.LSHR, NIBBLES);
                low.rearrange(code.lanewise(VectorOperators.AND, 7).toShuffle())
                        .blend(high.rearrange(code.lanewise(VectorOperators.AND, 7).toShuffle()),
                                code.lanewise(VectorOperators.AND, 8).compare(VectorOperators.NE, 0))
                        .reinterpretAsFloats().intoArray(y, yo + i);
            }
        }
        for (; i < n; i++) {
            int pair = codes[(e + i) >> 1];
            y[yo + i] = codeBook[((e + i) & 1) == 0 ? pair >> 4 & 15 : pair & 15] * absmax;
        }
    }

    /// Sixteen values are one look-up; returns how many elements it has done.
    private static int sixteens(byte[] codes, int e, float[] codeBook, float absmax, float[] y, int yo, int n) {
        IntVector table = FloatVector.fromArray(S, codeBook, 0).mul(absmax).reinterpretAsInts();
        int i = 0;
        for (; i <= n - 16; i += 16) {
            int at = (e + i) >> 1;
            IntVector four = IntVector.broadcast(SI, (int) FOUR_BYTES.get(codes, at));
            IntVector more = IntVector.broadcast(SI, (int) FOUR_BYTES.get(codes, at + 4));
            IntVector code = four.blend(more, UPPER).lanewise(VectorOperators.LSHR, NIBBLES16)
                    .lanewise(VectorOperators.AND, 15);
            table.rearrange(code.toShuffle()).reinterpretAsFloats().intoArray(y, yo + i);
        }
        return i;
    }
}
