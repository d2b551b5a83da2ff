package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.SI;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;
import static dev.gyre.kernels.cpu.Vectors.sum;

import dev.gyre.kernels.op.HostData;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/// [SimdStored] in vectors. Of 2 L elements those with even numbers come first: two BF16 lie in one int, and two codes of NF4 in
/// one byte, so both halves of a vector of ints come out with one operation each.
///
/// The maximum of a block of NF4 multiplies the sixteen values once; they are then looked up in registers.
final class VectorStored implements SimdStored {
    private static final int PAIR = 2 * L;
    /// Rows of b that are multiplied at once.
    private static final int ROWS = 8;
    private static final VectorSpecies<Short> PAIRS = VectorSpecies.of(short.class, S.vectorShape());
    /// As many bytes as there are lanes; four are read as more.
    private static final VectorSpecies<Byte> BYTES = VectorSpecies.of(byte.class,
            VectorShape.forBitSize(Math.max(64, 8 * L)));
    private static final VectorShuffle<Float> EVEN = VectorShuffle.fromOp(S, i -> 2 * i % L);
    private static final VectorShuffle<Float> ODD = VectorShuffle.fromOp(S, i -> (2 * i + 1) % L);
    private static final VectorMask<Float> UPPER = S.indexInRange(L / 2, L).not();

    @Override
    public boolean suits(HostData b, int e, int K) {
        return switch (b) {
            case HostData.BF16 _ -> K % PAIR == 0;
            case HostData.NF4 q -> L >= 8 && q.blockSize % PAIR == 0 && K % q.blockSize == 0 && e % q.blockSize == 0;
            case HostData.F32 _,HostData.Stored _ -> false;
        };
    }

    @Override
    public void order(float[] x, int xo, float[] y, int yo, int K) {
        for (int k = 0; k < K; k += PAIR) {
            FloatVector p = at(x, xo + k);
            FloatVector q = at(x, xo + k + L);
            p.rearrange(EVEN).blend(q.rearrange(EVEN), UPPER).intoArray(y, yo + k);
            p.rearrange(ODD).blend(q.rearrange(ODD), UPPER).intoArray(y, yo + k + L);
        }
    }

    @Override
    public void decode(HostData b, int e, int n, int K, float[] y, int yo) {
        if (b instanceof HostData.BF16 h)
            decode(h.bits, e, n * K, y, yo);
        else
            decode((HostData.NF4) b, e, n * K, y, yo);
    }

    private static void decode(short[] bits, int e, int n, float[] y, int yo) {
        for (int k = 0; k < n; k += PAIR) {
            IntVector two = pairs(bits, e + k);
            first(two).intoArray(y, yo + k);
            second(two).intoArray(y, yo + k + L);
        }
    }

    private static void decode(HostData.NF4 q, int e, int n, float[] y, int yo) {
        for (int k = 0; k < n; k += q.blockSize)
            block(q.codes, (e + k) >> 1, q.blockSize, q.codeBook, q.absmax((e + k) / q.blockSize), y, yo + k);
    }

    private static void block(byte[] codes, int at, int n, float[] book, float most, float[] y, int yo) {
        FloatVector low = FloatVector.fromArray(S, book, 0).mul(most);
        FloatVector high = FloatVector.fromArray(S, book, 16 - L).mul(most);
        for (int k = 0; k < n; k += PAIR) {
            IntVector two = bytes(codes, at + (k >> 1));
            value(two.lanewise(VectorOperators.LSHR, 4), low, high).intoArray(y, yo + k);
            value(two, low, high).intoArray(y, yo + k + L);
        }
    }

    @Override
    public void dots(int n, int K, float[] x, HostData.BF16 b, int e, float[] c, int co, float[] tile) {
        int j = 0;
        for (; j <= n - ROWS; j += ROWS) {
            bf16x4(K, x, b.bits, e + j * K, tile, 0);
            bf16x4(K, x, b.bits, e + (j + 4) * K, tile, 4 * L);
            VectorDots.sums(tile, 0, c, co + j);
        }
        for (; j < n; j++) {
            FloatVector s = FloatVector.zero(S);
            for (int k = 0; k < K; k += PAIR)
                s = both(at(x, k), at(x, k + L), pairs(b.bits, e + j * K + k), s);
            c[co + j] = sum(s);
        }
    }

    private static IntVector pairs(short[] b, int at) {
        return ShortVector.fromArray(PAIRS, b, at).reinterpretAsInts();
    }

    private static FloatVector first(IntVector pairs) {
        return pairs.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
    }

    private static FloatVector second(IntVector pairs) {
        return pairs.lanewise(VectorOperators.AND, 0xffff0000).reinterpretAsFloats();
    }

    private static FloatVector both(FloatVector x0, FloatVector x1, IntVector pairs, FloatVector s) {
        return fma(x1, second(pairs), fma(x0, first(pairs), s));
    }

    private static IntVector bytes(byte[] codes, int at) {
        return (IntVector) ByteVector.fromArray(BYTES, codes, at).convertShape(VectorOperators.ZERO_EXTEND_B2I, SI, 0);
    }

    /// The values of codes, of which the lower four bits count.
    private static FloatVector value(IntVector codes, FloatVector low, FloatVector high) {
        if (L == 16)
            return codes.selectFrom(low.reinterpretAsInts()).reinterpretAsFloats();
        return codes.selectFrom(low.reinterpretAsInts())
                .blend(codes.selectFrom(high.reinterpretAsInts()),
                        codes.lanewise(VectorOperators.AND, 8).compare(VectorOperators.NE, 0))
                .reinterpretAsFloats();
    }

    private static void bf16x4(int K, float[] x, short[] b, int b0, float[] tile, int to) {
        int b1 = b0 + K;
        int b2 = b1 + K;
        int b3 = b2 + K;
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        for (int k = 0; k < K; k += PAIR) {
            FloatVector x0 = at(x, k);
            FloatVector x1 = at(x, k + L);
            s0 = both(x0, x1, pairs(b, b0 + k), s0);
            s1 = both(x0, x1, pairs(b, b1 + k), s1);
            s2 = both(x0, x1, pairs(b, b2 + k), s2);
            s3 = both(x0, x1, pairs(b, b3 + k), s3);
        }
        s0.intoArray(tile, to);
        s1.intoArray(tile, to + L);
        s2.intoArray(tile, to + 2 * L);
        s3.intoArray(tile, to + 3 * L);
    }
}
