package dev.gyre.quant;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Nf4Codes;

/// 4-bit NormalFloat (QLoRA, arXiv 2305.14314, section 3), bit for bit as bitsandbytes computes it on a CPU.
///
/// A weight is read row-major in blocks of B consecutive elements that may span rows; the last block may be short.
/// Block k stores `absmax_k = max |w|`, and each element the code of `w / absmax_k`: the number of thresholds strictly
/// below it, so that a tie goes to the lower code. Two codes share a byte, the first in the high half; an odd count ends
/// with code 7, which is zero. The value read back is `codeBook[code] * absmax_k`, rounded once to F32.
///
/// Cost: `4 + 32/B` bits a weight; [DoubleQuant] makes that about `4 + 8/B`.
public final class Nf4 {
    public static final int MIN_BLOCK = 32;
    public static final int MAX_BLOCK = 4096;
    /// The default of bitsandbytes.
    public static final int DEFAULT_BLOCK = 64;

    /// Smallest divisor: a block of zeros must not divide by zero.
    static final float TINY = 1e-38f;
    private static final int ZERO = 7;

    private static final float[] CODE_BOOK = Nf4Codes.codeBook();
    private static final float[] THRESHOLDS = midpoints(CODE_BOOK);
    /// Intervals from 0 to 1.
    private static final int INTERVALS = 16;
    /// For each interval the number of thresholds below it, and the first that is not: within it, or behind.
    private static final int[] CODES = new int[2 * INTERVALS];
    private static final float[] NEXT = new float[2 * INTERVALS];

    static {
        for (int i = 0; i < 2 * INTERVALS; i++) {
            float from = (float) (i - INTERVALS) / INTERVALS;
            while (CODES[i] < THRESHOLDS.length && THRESHOLDS[CODES[i]] < from)
                CODES[i]++;
            NEXT[i] = CODES[i] < THRESHOLDS.length ? THRESHOLDS[CODES[i]] : Float.POSITIVE_INFINITY;
        }
    }

    private Nf4() {
    }

    /// A fresh copy of the 15 boundaries between codes: F32 midpoints of neighbouring values.
    public static float[] thresholds() {
        return THRESHOLDS.clone();
    }

    /// Quantises F32 weights.
    ///
    /// @param blockSize a power of two in 32..4096
    /// @throws InputException for another block size, and for a weight that is NaN or infinite
    public static HostData.NF4 quantize(float[] w, int blockSize) {
        return quantize(new HostData.F32(w), blockSize);
    }

    /// Quantises weights of any type, from their values in F32: an NF4 weight is decoded and coded anew.
    public static HostData.NF4 quantize(HostData w, int blockSize) {
        long size = w.size();
        checkBlockSize(blockSize);
        byte[] codes = new byte[Math.toIntExact((size + 1) / 2)];
        float[] absmax = new float[Math.toIntExact((size + blockSize - 1) / blockSize)];
        Chunks.forEach(size, (from, to) -> {
            float[] block = new float[blockSize];
            for (long e = from; e < to; e += blockSize) {
                int n = (int) Math.min(blockSize, to - e);
                w.decode(e, n, block, 0);
                absmax[(int) (e / blockSize)] = encode(block, n, codes, (int) (e / 2));
            }
        });
        for (int k = 0; k < absmax.length; k++)
            if (!Float.isFinite(absmax[k])) {
                long first = (long) k * blockSize;
                throw new InputException("NF4 cannot hold NaN or infinity, and elements " + first + ".."
                        + (Math.min(first + blockSize, size) - 1) + " of the weight contain one; is the file damaged?");
            }
        return new HostData.NF4(size, codes, blockSize, Nf4Codes.codeBook(), absmax);
    }

    public static void checkBlockSize(int blockSize) {
        if (blockSize < MIN_BLOCK || blockSize > MAX_BLOCK || Integer.bitCount(blockSize) != 1)
            throw new InputException("NF4 block size " + blockSize + " is not a power of two in " + MIN_BLOCK
                    + ".." + MAX_BLOCK + "; " + DEFAULT_BLOCK + " is the usual choice");
    }

    /// Codes `n` elements into bytes from `at` on and returns what the block stores as its maximum.
    ///
    /// The two roundings below are those of the library and differ: a full block multiplies by a rounded reciprocal, a
    /// short one divides and also stores the clamped maximum.
    private static float encode(float[] block, int n, byte[] codes, int at) {
        // without their sign, floats are ordered as their bits are (NaN last), and integers the compiler compares in vectors
        int bits = 0;
        for (int i = 0; i < n; i++)
            bits = Math.max(bits, Float.floatToRawIntBits(block[i]) & Integer.MAX_VALUE);
        float absmax = Float.intBitsToFloat(bits);
        float divisor = Math.max(absmax, TINY);
        if (n == block.length) {
            float reciprocal = 1f / divisor;
            for (int i = 0; i < n; i++)
                block[i] *= reciprocal;
        } else {
            for (int i = 0; i < n; i++)
                block[i] /= divisor;
            absmax = divisor;
        }
        // No clamp to [-1, 1]: beyond the outermost thresholds nothing changes.
        for (int i = 0; i < n; i += 2)
            codes[at + i / 2] = (byte) (code(block[i]) << 4 | (i + 1 < n ? code(block[i + 1]) : ZERO));
        return absmax;
    }

    /// Number of thresholds strictly below v. [-1, 1] is cut into intervals so short that none holds two thresholds: the
    /// code is that of the interval, or the next. No branch, which random weights would mispredict half of the time.
    static int code(float v) {
        int i = Math.max(0, Math.min(2 * INTERVALS - 1, (int) (v * INTERVALS + INTERVALS)));
        return CODES[i] + (v > NEXT[i] ? 1 : 0);
    }

    /// All elements as F32, decoded in parallel.
    public static float[] dequantize(HostData.NF4 q) {
        float[] w = new float[Math.toIntExact(q.size)];
        Chunks.forEach(q.size, (from, to) -> q.decode(from, (int) (to - from), w, (int) from));
        return w;
    }

    /// F32 midpoints of neighbouring entries of a sorted table.
    static float[] midpoints(float[] sorted) {
        float[] m = new float[sorted.length - 1];
        for (int i = 0; i < m.length; i++)
            m[i] = (sorted[i] + sorted[i + 1]) / 2;
        return m;
    }
}
