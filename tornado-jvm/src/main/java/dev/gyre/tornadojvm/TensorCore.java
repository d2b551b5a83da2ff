package dev.gyre.tornadojvm;

import java.util.function.ToDoubleFunction;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.HalfFloat;

/// The tensor-core instructions that TornadoVM's CUDA backend emits for a warp, with the layouts that the PTX manual states:
/// `ldmatrix` (section 9.7.14.5.15) and `mma.m16n8k16` (9.7.14.5.8). Lane L has group g = L >> 2 and place t = L & 3.
///
/// | fragment | elements of lane L |
/// |---|---|
/// | A (16,16) | (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1), (g, 2t+8), (g, 2t+9), (g+8, 2t+8), (g+8, 2t+9) |
/// | B (16,8) | (2t, g), (2t+1, g), (2t+8, g), (2t+9, g) |
/// | C, D (16,8) | (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1) |
final class TensorCore {
    static final int M = 16;
    static final int N = 8;
    static final int K = 16;
    /// An accumulator's array: four elements that kernels see, NaN because no device lets them be indexed, then the true ones.
    private static final int HIDDEN = 4;
    private static final int WARP = WorkItem.WARP;

    /// A lane's share of a tile in local memory: two elements of 16 bits in each int.
    record Source(int[] tile, int byteOffset) {
    }

    /// A lane's fragments of a product.
    record Factors(HalfFloat[] a, HalfFloat[] b, float[] c) {
    }

    private TensorCore() {
    }

    static float[] fragment(float v) {
        return accumulator(v, v, v, v);
    }

    private static float[] accumulator(float c0, float c1, float c2, float c3) {
        return new float[] {Float.NaN, Float.NaN, Float.NaN, Float.NaN, c0, c1, c2, c3};
    }

    /// Element `i` of an accumulator fragment.
    static float element(float[] fragment, int i) {
        return fragment[HIDDEN + i];
    }

    /// `ldmatrix.x4` of a tile with rows of 32 bytes: the matrices of 8 x 8 elements are rows 0-7 and 8-15 of the left
    /// half, then of the right half.
    static Object[] loadA(Object[] lanes) {
        HalfFloat[][] out = new HalfFloat[WARP][8];
        for (int m = 0; m < 4; m++)
            for (int row = 0; row < 8; row++) {
                Source s = (Source) lanes[8 * m + row];
                int at = 32 * (8 * (m & 1) + row) + 16 * (m >> 1) + s.byteOffset();
                for (int e = 0; e < 8; e++)
                    out[4 * row + (e >> 1)][2 * m + (e & 1)] = bits(s.tile(), at, e);
            }
        return out;
    }

    /// `ldmatrix.x2.trans` of a tile with rows of 16 bytes: rows 0-7, then 8-15, each matrix transposed. The addresses of
    /// lanes 16-31 are not used.
    static Object[] loadB(Object[] lanes) {
        HalfFloat[][] out = new HalfFloat[WARP][4];
        for (int m = 0; m < 2; m++)
            for (int row = 0; row < 8; row++) {
                Source s = (Source) lanes[8 * m + row];
                int at = 16 * row + 128 * m + s.byteOffset();
                for (int e = 0; e < 8; e++)
                    out[4 * e + (row >> 1)][2 * m + (row & 1)] = bits(s.tile(), at, e);
            }
        return out;
    }

    private static HalfFloat bits(int[] tile, int at, int e) {
        if ((at & 15) != 0)
            throw new TornadoRuntimeException("ldmatrix reads rows of 16 bytes at multiples of 16, not at byte " + at);
        int word = at / 4 + (e >> 1);
        if (at < 0 || word >= tile.length)
            throw new TornadoRuntimeException(
                    "ldmatrix reads byte " + at + " of a local array of " + 4L * tile.length + " bytes");
        return new HalfFloat((short) (tile[word] >> 16 * (e & 1)));
    }

    /// `mma.m16n8k16`: D = A B + C. Products of 16-bit numbers are exact; how a device rounds their sum is not specified.
    static Object[] multiply(Object[] lanes, ToDoubleFunction<HalfFloat> decode) {
        double[][] a = new double[M][K];
        double[][] b = new double[K][N];
        for (int lane = 0; lane < WARP; lane++) {
            Factors f = (Factors) lanes[lane];
            if (f.a().length != 8 || f.b().length != 4)
                throw new TornadoRuntimeException(
                        "the factors of an mma are a fragment of mmaLoadA and one of mmaLoadB");
            int g = lane >> 2;
            int t = lane & 3;
            for (int i = 0; i < 8; i++)
                a[g + 8 * (i >> 1 & 1)][2 * t + (i & 1) + 8 * (i >> 2)] = decode.applyAsDouble(f.a()[i]);
            for (int i = 0; i < 4; i++)
                b[2 * t + (i & 1) + 8 * (i >> 1)][g] = decode.applyAsDouble(f.b()[i]);
        }
        float[][] out = new float[WARP][];
        for (int lane = 0; lane < WARP; lane++) {
            float[] c = ((Factors) lanes[lane]).c();
            float[] d = accumulator(0, 0, 0, 0);
            for (int i = 0; i < 4; i++) {
                double sum = element(c, i);
                for (int k = 0; k < K; k++)
                    sum += a[(lane >> 2) + 8 * (i >> 1)][k] * b[k][2 * (lane & 3) + (i & 1)];
                d[HIDDEN + i] = (float) sum;
            }
            out[lane] = d;
        }
        return out;
    }
}
