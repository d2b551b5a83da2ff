package dev.gyre.quant;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import java.util.Arrays;

/// Double quantisation (QLoRA, section 3; `compress_statistics` in bitsandbytes): block maxima become bytes.
///
/// With `offset` the mean of all maxima, `z = absmax - offset` is cut into blocks of 256; block j keeps
/// `nestedAbsmax_j = max |z|`, and each z the nearest entry of an 8-bit dynamic map to `z / nestedAbsmax_j`. Back:
/// `absmax = map[u8] * nestedAbsmax_j + offset`, F32 with two roundings. The weight's codes do not change.
///
/// The search is exact, ties to the lower code. The library's own CPU search goes through a table and may be one code
/// off, which is as valid: a reader only decodes.
public final class DoubleQuant {
    /// Maxima of one nested block. The format names a size, but the library's fused path knows only this one.
    public static final int BLOCK = 256;

    private static final float[] MAP = map();
    private static final float[] THRESHOLDS = Nf4.midpoints(MAP);

    private DoubleQuant() {
    }

    /// A fresh copy of the 256 entries of the signed dynamic map, ascending.
    public static float[] dynamicMap() {
        return MAP.clone();
    }

    /// The same weight with quantised block maxima.
    public static HostData.NF4 of(HostData.NF4 plain) {
        float[] absmax = plain.absmax;
        if (absmax == null)
            throw new InputException("the block maxima of this NF4 weight are quantised already");
        float offset = mean(absmax);
        byte[] u8 = new byte[absmax.length];
        float[] nested = new float[(absmax.length + BLOCK - 1) / BLOCK];
        for (int j = 0; j < nested.length; j++) {
            int from = j * BLOCK;
            int to = Math.min(from + BLOCK, absmax.length);
            float max = 0;
            for (int k = from; k < to; k++)
                max = Math.max(max, Math.abs(absmax[k] - offset));
            float divisor = Math.max(max, Nf4.TINY);
            // As in Nf4: a full block multiplies by the rounded reciprocal, a short one divides and stores the divisor.
            boolean full = to - from == BLOCK;
            float reciprocal = 1f / divisor;
            for (int k = from; k < to; k++) {
                float z = absmax[k] - offset;
                u8[k] = (byte) code(full ? z * reciprocal : z / divisor);
            }
            nested[j] = full ? max : divisor;
        }
        return new HostData.NF4(plain.size, plain.codes, plain.blockSize, plain.codeBook, u8, nested, dynamicMap(),
                BLOCK, offset);
    }

    /// The same weight with plain block maxima, those that the quantised ones decode to.
    public static HostData.NF4 undo(HostData.NF4 q) {
        return new HostData.NF4(q.size, q.codes, q.blockSize, q.codeBook, maxima(q));
    }

    /// Decoded block maxima, a fresh array.
    public static float[] maxima(HostData.NF4 q) {
        float[] absmax = new float[Math.toIntExact((q.size + q.blockSize - 1) / q.blockSize)];
        for (int k = 0; k < absmax.length; k++)
            absmax[k] = q.absmax(k);
        return absmax;
    }

    /// Number of thresholds strictly below v. Values beyond +-1 need no clamp.
    static int code(float v) {
        int c = 0;
        for (int step = 128; step > 0; step >>= 1)
            if (v > THRESHOLDS[c + step - 1])
                c += step;
        return c;
    }

    /// Summed in double: within one unit in the last place of the library's pairwise F32 sum.
    private static float mean(float[] a) {
        double sum = 0;
        for (float v : a)
            sum += v;
        return a.length == 0 ? 0 : (float) (sum / a.length);
    }

    /// 0, 1, and for each power of ten from 1e-6 to 1 the means of neighbours among `2^i + 1` evenly spaced numbers in
    /// [0.1, 1], with both signs. The spacing is computed from the nearer end by fused multiply-adds, which is what
    /// makes the last bits come out as PyTorch's.
    private static float[] map() {
        float[] powers = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1f};
        float[] map = new float[256];
        int n = 0;
        map[n++] = 0;
        map[n++] = 1;
        for (int i = 0; i < powers.length; i++) {
            int count = (1 << i) + 1;
            for (int j = 0; j + 1 < count; j++) {
                float mean = (boundary(j, count) + boundary(j + 1, count)) / 2 * powers[i];
                map[n++] = mean;
                map[n++] = -mean;
            }
        }
        Arrays.sort(map);
        return map;
    }

    private static float boundary(int j, int count) {
        float step = (1 - 0.1f) / (count - 1);
        return j < count / 2 ? Math.fma(step, j, 0.1f) : Math.fma(-step, count - 1 - j, 1f);
    }
}
