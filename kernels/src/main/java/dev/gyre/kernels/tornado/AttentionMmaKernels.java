package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.AttentionKernels.firstKey;
import static dev.gyre.kernels.tornado.ElementPairKernels.pair;
import static uk.ac.manchester.tornado.api.enums.MMAShape.M16N8K16;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.HalfFloat;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [AttentionKernels] on the tensor cores of an NVIDIA GPU: factors rounded to BF16, sums, scores and probabilities in F32.
/// D is a multiple of 16, at most 256.
///
/// A work group has `16 R` rows (queries; for dK and dV keys) of one head, whose factors stay in local memory, and goes over
/// the keys (queries) that they see, 32 at a time. Its warps are R x 2: a warp computes 16 x 16 scores, and for 16 rows
/// half the features of the result, in accumulators that it keeps from the first tile to the last.
///
/// An accumulator cannot be read as numbers, only be stored in global memory, so each warp stores its scores in 512
/// floats of its own of a workspace, from where each lane reads its four again: no lane needs what another stored.
/// The softmax's denominator comes from a pass of its own ([#attentionSums]): then no result has to be scaled on the way,
/// which an accumulator does not allow either.
///
/// Local memory holds the left factors as [#K] x K tiles of four 8 x 8 matrices of 128 bytes each (`fix` turns TornadoVM's
/// addresses for rows of 32 bytes into these, which read without bank conflicts), and the right factors as tiles of K
/// rows of 8 numbers, two numbers in an int. `at` also holds D / 16 and R, for loops that TornadoVM would unroll if
/// they were constants.
final class AttentionMmaKernels {
    /// Rows and depth of a tile that one instruction multiplies, and its columns.
    static final int K = 16;
    static final int N = 8;
    /// Keys (queries) of a step.
    static final int STEP = 32;
    /// Largest head dimension.
    static final int MAX_D = 256;
    /// Floats of the workspace for each warp.
    static final int WARP_SCRATCH = 512;
    private static final float NONE = -1e30f;

    private AttentionMmaKernels() {
    }

    /// Rows of a work group in tiles of [#K]: as many as leave room in 48 KiB for two left factors.
    static int rowTiles(int D) {
        return D <= 128 ? 4 : D <= 192 ? 2 : 1;
    }

    /// Where in an array of left factors the pair of numbers `pair` (of eight) of a row and a step of 16 columns is.
    private static int left(int row, int step, int steps, int pair) {
        return ((row >> 4) * steps + step) * 128 + ((pair >> 2) * 2 + (row >> 3 & 1)) * 32 + (row & 7) * 4 + (pair & 3);
    }

    /// What TornadoVM's address of a lane in a left factor is to be corrected by.
    private static int fix(int lane) {
        return (lane >> 4) * 240 - (lane >> 3 & 1) * 128 - (lane & 7) * 16;
    }

    /// Writes this lane's four elements of a tile, which are at `mine` in the workspace: two in row `to`, and two in the row
    /// `eight` elements further; only rows below the last one.
    private static void put(FloatArray scratch, int mine, FloatArray out, int to, int eight, int below) {
        if (below > 0) {
            out.set(to, scratch.get(mine));
            out.set(to + 1, scratch.get(mine + 1));
        }
        if (below > 8) {
            out.set(to + eight, scratch.get(mine + 64));
            out.set(to + eight + 1, scratch.get(mine + 65));
        }
    }

    private static float score(float product, float scale, int j, int first, int i) {
        return j >= first && j <= i ? scale * product : NONE;
    }

    private static float probability(float product, float scale, float lse, int j, int first, int i) {
        return j >= first && j <= i ? TornadoMath.exp(scale * product - lse) : 0f;
    }

    /// `lse = log sum exp` of the scores per row and head.
    static void attentionSums(KernelContext context, IntArray at, int slot, IntArray q, IntArray k, IntArray start,
            FloatArray lse, FloatArray scratch, int T, int H, int KV, int D, float scale, int window, int R) {
        int[] own = context.allocateIntLocalArray(8 * R * D);
        int[] tile = context.allocateIntLocalArray(STEP / 2 * D);
        float[] most = context.allocateFloatLocalArray(16 * R * 8);
        float[] sums = context.allocateFloatLocalArray(16 * R * 8);
        int qAt = at.get(slot);
        int kAt = at.get(slot + 1);
        int startAt = at.get(slot + 2);
        int steps = at.get(slot + 5);
        int tiles = at.get(slot + 6);
        int id = context.localIdx;
        int lane = id & 31;
        int warp = id >> 5;
        int fix = fix(lane);
        // half of the lanes store two rows in the other order: no two lanes of a store then use one bank
        int swap = lane >> 4 << 2;
        int row = (warp >> 1) * 16 + (lane >> 2);
        int column = (warp & 1) * 16 + (lane & 3) * 2;
        int i0 = ((T - 1) / (16 * R) - context.groupIdx) * (16 * R);
        int h = context.groupIdy % H;
        int row0 = context.groupIdy / H * T;
        int group = h / (H / KV);
        int i = i0 + row;
        int firstA = firstKey(start.get(startAt + row0 + TornadoMath.min(i, T - 1)), i, window);
        int firstB = firstKey(start.get(startAt + row0 + TornadoMath.min(i + 8, T - 1)), i + 8, window);
        int low = T - 1;
        for (int r = 0; r < 16 * tiles; r++) {
            int n = TornadoMath.min(i0 + r, T - 1);
            low = TornadoMath.min(low, firstKey(start.get(startAt + row0 + n), n, window));
        }
        int scores = at.get(slot + 4)
                + ((context.groupIdy * ((T + 16 * R - 1) / (16 * R)) + context.groupIdx) * 2 * R + warp) * WARP_SCRATCH;
        int mine = scores + 2 * lane;
        for (int c = 0; c < steps; c++)
            for (int r = id >> 3; r < 16 * tiles; r += 8 * tiles)
                own[left(r, c, steps, id & 7)] = i0 + r < T
                        ? q.get(qAt + ((row0 + i0 + r) * H + h) * (D >> 1) + c * 8 + (id & 7))
                        : 0;
        float maxA = NONE;
        float maxB = NONE;
        float sumA = 0f;
        float sumB = 0f;
        context.localBarrier();
        int left = (warp >> 1) * steps * 512 + fix;
        int side = (warp & 1) * 512;
        HalfFloat[] x0 = context.mmaLoadA(own, K, left);
        HalfFloat[] x1 = context.mmaLoadA(own, K, left + TornadoMath.min(1, steps - 1) * 512);
        HalfFloat[] x2 = context.mmaLoadA(own, K, left + TornadoMath.min(2, steps - 1) * 512);
        HalfFloat[] x3 = context.mmaLoadA(own, K, left + TornadoMath.min(3, steps - 1) * 512);
        HalfFloat[] x4 = context.mmaLoadA(own, K, left + TornadoMath.min(4, steps - 1) * 512);
        HalfFloat[] x5 = context.mmaLoadA(own, K, left + TornadoMath.min(5, steps - 1) * 512);
        HalfFloat[] x6 = context.mmaLoadA(own, K, left + TornadoMath.min(6, steps - 1) * 512);
        HalfFloat[] x7 = context.mmaLoadA(own, K, left + TornadoMath.min(7, steps - 1) * 512);
        for (int j0 = low; j0 < TornadoMath.min(i0 + 16 * tiles, T); j0 += STEP) {
            for (int c = 0; c < steps; c++)
                for (int n = id >> 5; n < STEP / N; n += 2 * tiles) {
                    int j = j0 + n * N + (id & 3) * 2;
                    int from = kAt + ((row0 + j) * KV + group) * (D >> 1) + c * 8 + (id >> 2 & 7);
                    int one = j < T ? k.get(from) : 0;
                    int two = j + 1 < T ? k.get(from + KV * (D >> 1)) : 0;
                    int to = (c * 4 + n) * 64 + (id >> 2 & 7) * 8 + (id & 3);
                    int even = one & 0xffff | two << 16;
                    int odd = one >> 16 & 0xffff | two & 0xffff0000;
                    tile[to + swap] = swap == 0 ? even : odd;
                    tile[to + 4 - swap] = swap == 0 ? odd : even;
                }
            context.localBarrier();
            float[] s0 = context.mmaFragment(0f);
            float[] s1 = context.mmaFragment(0f);
            s0 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side), s0, M16N8K16);
            s1 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side + 256), s1, M16N8K16);
            if (D > 16) {
                s0 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1024), s0, M16N8K16);
                s1 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1280), s1, M16N8K16);
            }
            if (D > 32) {
                s0 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2048), s0, M16N8K16);
                s1 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2304), s1, M16N8K16);
            }
            if (D > 48) {
                s0 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3072), s0, M16N8K16);
                s1 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3328), s1, M16N8K16);
            }
            if (D > 64) {
                s0 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4096), s0, M16N8K16);
                s1 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4352), s1, M16N8K16);
            }
            if (D > 80) {
                s0 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5120), s0, M16N8K16);
                s1 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5376), s1, M16N8K16);
            }
            if (D > 96) {
                s0 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6144), s0, M16N8K16);
                s1 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6400), s1, M16N8K16);
            }
            if (D > 112) {
                s0 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7168), s0, M16N8K16);
                s1 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7424), s1, M16N8K16);
            }
            for (int c = 8; c < steps; c++) {
                HalfFloat[] more = context.mmaLoadA(own, K, ((warp >> 1) * steps + c) * 512 + fix);
                s0 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024), s0, M16N8K16);
                s1 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024 + 256), s1, M16N8K16);
            }
            context.mmaStore(s0, scratch, 0, scores, N);
            context.mmaStore(s1, scratch, 0, scores + 128, N);
            int j = j0 + column;
            float a0 = score(scratch.get(mine), scale, j, firstA, i);
            float a1 = score(scratch.get(mine + 1), scale, j + 1, firstA, i);
            float b0 = score(scratch.get(mine + 64), scale, j, firstB, i + 8);
            float b1 = score(scratch.get(mine + 65), scale, j + 1, firstB, i + 8);
            float a2 = score(scratch.get(mine + 128), scale, j + 8, firstA, i);
            float a3 = score(scratch.get(mine + 129), scale, j + 9, firstA, i);
            float b2 = score(scratch.get(mine + 192), scale, j + 8, firstB, i + 8);
            float b3 = score(scratch.get(mine + 193), scale, j + 9, firstB, i + 8);
            float newA = TornadoMath.max(maxA,
                    TornadoMath.max(TornadoMath.max(a0, a1), TornadoMath.max(a2, a3)));
            float newB = TornadoMath.max(maxB,
                    TornadoMath.max(TornadoMath.max(b0, b1), TornadoMath.max(b2, b3)));
            // a lane that has seen no key yet sums ones; its maximum then makes them vanish
            sumA = sumA * TornadoMath.exp(maxA - newA) + TornadoMath.exp(a0 - newA) + TornadoMath.exp(a1 - newA)
                    + TornadoMath.exp(a2 - newA) + TornadoMath.exp(a3 - newA);
            sumB = sumB * TornadoMath.exp(maxB - newB) + TornadoMath.exp(b0 - newB) + TornadoMath.exp(b1 - newB)
                    + TornadoMath.exp(b2 - newB) + TornadoMath.exp(b3 - newB);
            maxA = newA;
            maxB = newB;
            context.localBarrier();
        }
        int part = row * 8 + (warp & 1) * 4 + (lane & 3);
        most[part] = maxA;
        sums[part] = sumA;
        most[part + 64] = maxB;
        sums[part + 64] = sumB;
        context.localBarrier();
        if (id < 16 * R) {
            float max = NONE;
            for (int c = 0; c < 8; c++)
                max = TornadoMath.max(max, most[id * 8 + c]);
            float sum = 0f;
            for (int c = 0; c < 8; c++)
                sum += sums[id * 8 + c] * TornadoMath.exp(most[id * 8 + c] - max);
            if (i0 + id < T)
                lse.set(at.get(slot + 3) + (row0 + i0 + id) * H + h, max + TornadoMath.log(sum));
        }
    }

    /// `out = exp(scores - lse) v`, with the `lse` of [#attentionSums].
    static void attendMma(KernelContext context, IntArray at, int slot, IntArray q, IntArray k, IntArray v,
            IntArray start, FloatArray lse, FloatArray out, FloatArray scratch, int T, int H, int KV, int D,
            float scale,
            int window, int R) {
        int[] own = context.allocateIntLocalArray(8 * R * D);
        int[] tile = context.allocateIntLocalArray(STEP / 2 * D);
        int[] values = context.allocateIntLocalArray(STEP / 2 * D);
        int[] p = context.allocateIntLocalArray(8 * R * STEP);
        int qAt = at.get(slot);
        int kAt = at.get(slot + 1);
        int vAt = at.get(slot + 2);
        int startAt = at.get(slot + 3);
        int lseAt = at.get(slot + 4);
        int steps = at.get(slot + 7);
        int tiles = at.get(slot + 8);
        int id = context.localIdx;
        int lane = id & 31;
        int warp = id >> 5;
        int fix = fix(lane);
        // half of the lanes store two rows in the other order: no two lanes of a store then use one bank
        int swap = lane >> 4 << 2;
        int row = (warp >> 1) * 16 + (lane >> 2);
        int column = (warp & 1) * 16 + (lane & 3) * 2;
        int i0 = ((T - 1) / (16 * R) - context.groupIdx) * (16 * R);
        int h = context.groupIdy % H;
        int row0 = context.groupIdy / H * T;
        int group = h / (H / KV);
        int i = i0 + row;
        int firstA = firstKey(start.get(startAt + row0 + TornadoMath.min(i, T - 1)), i, window);
        int firstB = firstKey(start.get(startAt + row0 + TornadoMath.min(i + 8, T - 1)), i + 8, window);
        int low = T - 1;
        for (int r = 0; r < 16 * tiles; r++) {
            int n = TornadoMath.min(i0 + r, T - 1);
            low = TornadoMath.min(low, firstKey(start.get(startAt + row0 + n), n, window));
        }
        int scores = at.get(slot + 6)
                + ((context.groupIdy * ((T + 16 * R - 1) / (16 * R)) + context.groupIdx) * 2 * R + warp) * WARP_SCRATCH;
        int mine = scores + 2 * lane;
        for (int c = 0; c < steps; c++)
            for (int r = id >> 3; r < 16 * tiles; r += 8 * tiles)
                own[left(r, c, steps, id & 7)] = i0 + r < T
                        ? q.get(qAt + ((row0 + i0 + r) * H + h) * (D >> 1) + c * 8 + (id & 7))
                        : 0;
        float lseA = lse.get(lseAt + (row0 + TornadoMath.min(i, T - 1)) * H + h);
        float lseB = lse.get(lseAt + (row0 + TornadoMath.min(i + 8, T - 1)) * H + h);
        int upper = (warp & 1) * steps * 256;
        int lower = upper + steps * 512;
        float[] o0 = context.mmaFragment(0f);
        float[] o1 = context.mmaFragment(0f);
        float[] o2 = context.mmaFragment(0f);
        float[] o3 = context.mmaFragment(0f);
        float[] o4 = context.mmaFragment(0f);
        float[] o5 = context.mmaFragment(0f);
        float[] o6 = context.mmaFragment(0f);
        float[] o7 = context.mmaFragment(0f);
        float[] o8 = context.mmaFragment(0f);
        float[] o9 = context.mmaFragment(0f);
        float[] o10 = context.mmaFragment(0f);
        float[] o11 = context.mmaFragment(0f);
        float[] o12 = context.mmaFragment(0f);
        float[] o13 = context.mmaFragment(0f);
        float[] o14 = context.mmaFragment(0f);
        float[] o15 = context.mmaFragment(0f);
        context.localBarrier();
        int left = (warp >> 1) * steps * 512 + fix;
        int side = (warp & 1) * 512;
        HalfFloat[] x0 = context.mmaLoadA(own, K, left);
        HalfFloat[] x1 = context.mmaLoadA(own, K, left + TornadoMath.min(1, steps - 1) * 512);
        HalfFloat[] x2 = context.mmaLoadA(own, K, left + TornadoMath.min(2, steps - 1) * 512);
        HalfFloat[] x3 = context.mmaLoadA(own, K, left + TornadoMath.min(3, steps - 1) * 512);
        HalfFloat[] x4 = context.mmaLoadA(own, K, left + TornadoMath.min(4, steps - 1) * 512);
        HalfFloat[] x5 = context.mmaLoadA(own, K, left + TornadoMath.min(5, steps - 1) * 512);
        HalfFloat[] x6 = context.mmaLoadA(own, K, left + TornadoMath.min(6, steps - 1) * 512);
        HalfFloat[] x7 = context.mmaLoadA(own, K, left + TornadoMath.min(7, steps - 1) * 512);
        for (int j0 = low; j0 < TornadoMath.min(i0 + 16 * tiles, T); j0 += STEP) {
            for (int c = 0; c < steps; c++)
                for (int n = id >> 5; n < STEP / N; n += 2 * tiles) {
                    int j = j0 + n * N + (id & 3) * 2;
                    int from = kAt + ((row0 + j) * KV + group) * (D >> 1) + c * 8 + (id >> 2 & 7);
                    int one = j < T ? k.get(from) : 0;
                    int two = j + 1 < T ? k.get(from + KV * (D >> 1)) : 0;
                    int to = (c * 4 + n) * 64 + (id >> 2 & 7) * 8 + (id & 3);
                    int even = one & 0xffff | two << 16;
                    int odd = one >> 16 & 0xffff | two & 0xffff0000;
                    tile[to + swap] = swap == 0 ? even : odd;
                    tile[to + 4 - swap] = swap == 0 ? odd : even;
                }
            for (int c = 0; c < steps; c++)
                for (int r = id >> 3; r < STEP; r += 8 * tiles)
                    values[((r >> 4) * 2 * steps + c * 2 + (id >> 2 & 1)) * 64 + (r & 15) * 4 + (id & 3)] = j0 + r < T
                            ? v.get(vAt + ((row0 + j0 + r) * KV + group) * (D >> 1) + c * 8 + (id & 7))
                            : 0;
            context.localBarrier();
            float[] s0 = context.mmaFragment(0f);
            float[] s1 = context.mmaFragment(0f);
            s0 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side), s0, M16N8K16);
            s1 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side + 256), s1, M16N8K16);
            if (D > 16) {
                s0 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1024), s0, M16N8K16);
                s1 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1280), s1, M16N8K16);
            }
            if (D > 32) {
                s0 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2048), s0, M16N8K16);
                s1 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2304), s1, M16N8K16);
            }
            if (D > 48) {
                s0 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3072), s0, M16N8K16);
                s1 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3328), s1, M16N8K16);
            }
            if (D > 64) {
                s0 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4096), s0, M16N8K16);
                s1 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4352), s1, M16N8K16);
            }
            if (D > 80) {
                s0 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5120), s0, M16N8K16);
                s1 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5376), s1, M16N8K16);
            }
            if (D > 96) {
                s0 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6144), s0, M16N8K16);
                s1 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6400), s1, M16N8K16);
            }
            if (D > 112) {
                s0 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7168), s0, M16N8K16);
                s1 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7424), s1, M16N8K16);
            }
            for (int c = 8; c < steps; c++) {
                HalfFloat[] more = context.mmaLoadA(own, K, ((warp >> 1) * steps + c) * 512 + fix);
                s0 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024), s0, M16N8K16);
                s1 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024 + 256), s1, M16N8K16);
            }
            context.mmaStore(s0, scratch, 0, scores, N);
            context.mmaStore(s1, scratch, 0, scores + 128, N);
            int j = j0 + column;
            int to = warp * 128 + lane;
            p[to] = pair(probability(scratch.get(mine), scale, lseA, j, firstA, i),
                    probability(scratch.get(mine + 1), scale, lseA, j + 1, firstA, i));
            p[to + 32] = pair(probability(scratch.get(mine + 64), scale, lseB, j, firstB, i + 8),
                    probability(scratch.get(mine + 65), scale, lseB, j + 1, firstB, i + 8));
            p[to + 64] = pair(probability(scratch.get(mine + 128), scale, lseA, j + 8, firstA, i),
                    probability(scratch.get(mine + 129), scale, lseA, j + 9, firstA, i));
            p[to + 96] = pair(probability(scratch.get(mine + 192), scale, lseB, j + 8, firstB, i + 8),
                    probability(scratch.get(mine + 193), scale, lseB, j + 9, firstB, i + 8));
            context.localBarrier();
            HalfFloat[] left0 = context.mmaLoadA(p, K, (warp >> 1) * 1024 + fix);
            HalfFloat[] left1 = context.mmaLoadA(p, K, (warp >> 1) * 1024 + 512 + fix);
            o0 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper), o0, M16N8K16);
            o0 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower), o0, M16N8K16);
            if (D > 16) {
                o1 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 256), o1, M16N8K16);
                o1 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 256), o1, M16N8K16);
            }
            if (D > 32) {
                o2 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 512), o2, M16N8K16);
                o2 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 512), o2, M16N8K16);
            }
            if (D > 48) {
                o3 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 768), o3, M16N8K16);
                o3 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 768), o3, M16N8K16);
            }
            if (D > 64) {
                o4 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 1024), o4, M16N8K16);
                o4 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 1024), o4, M16N8K16);
            }
            if (D > 80) {
                o5 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 1280), o5, M16N8K16);
                o5 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 1280), o5, M16N8K16);
            }
            if (D > 96) {
                o6 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 1536), o6, M16N8K16);
                o6 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 1536), o6, M16N8K16);
            }
            if (D > 112) {
                o7 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 1792), o7, M16N8K16);
                o7 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 1792), o7, M16N8K16);
            }
            if (D > 128) {
                o8 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 2048), o8, M16N8K16);
                o8 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 2048), o8, M16N8K16);
            }
            if (D > 144) {
                o9 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 2304), o9, M16N8K16);
                o9 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 2304), o9, M16N8K16);
            }
            if (D > 160) {
                o10 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 2560), o10, M16N8K16);
                o10 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 2560), o10, M16N8K16);
            }
            if (D > 176) {
                o11 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 2816), o11, M16N8K16);
                o11 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 2816), o11, M16N8K16);
            }
            if (D > 192) {
                o12 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 3072), o12, M16N8K16);
                o12 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 3072), o12, M16N8K16);
            }
            if (D > 208) {
                o13 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 3328), o13, M16N8K16);
                o13 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 3328), o13, M16N8K16);
            }
            if (D > 224) {
                o14 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 3584), o14, M16N8K16);
                o14 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 3584), o14, M16N8K16);
            }
            if (D > 240) {
                o15 = context.mmaBF16(left0, context.mmaLoadB(values, K, upper + 3840), o15, M16N8K16);
                o15 = context.mmaBF16(left1, context.mmaLoadB(values, K, lower + 3840), o15, M16N8K16);
            }
            context.localBarrier();
        }
        int to = at.get(slot + 5) + ((row0 + i) * H + h) * D + (warp & 1) * steps * 8 + (lane & 3) * 2;
        int below = T - i;
        context.mmaStore(o0, scratch, 0, scores, N);
        put(scratch, mine, out, to + 0, 8 * H * D, below);
        if (D > 16) {
            context.mmaStore(o1, scratch, 0, scores, N);
            put(scratch, mine, out, to + 8, 8 * H * D, below);
        }
        if (D > 32) {
            context.mmaStore(o2, scratch, 0, scores, N);
            put(scratch, mine, out, to + 16, 8 * H * D, below);
        }
        if (D > 48) {
            context.mmaStore(o3, scratch, 0, scores, N);
            put(scratch, mine, out, to + 24, 8 * H * D, below);
        }
        if (D > 64) {
            context.mmaStore(o4, scratch, 0, scores, N);
            put(scratch, mine, out, to + 32, 8 * H * D, below);
        }
        if (D > 80) {
            context.mmaStore(o5, scratch, 0, scores, N);
            put(scratch, mine, out, to + 40, 8 * H * D, below);
        }
        if (D > 96) {
            context.mmaStore(o6, scratch, 0, scores, N);
            put(scratch, mine, out, to + 48, 8 * H * D, below);
        }
        if (D > 112) {
            context.mmaStore(o7, scratch, 0, scores, N);
            put(scratch, mine, out, to + 56, 8 * H * D, below);
        }
        if (D > 128) {
            context.mmaStore(o8, scratch, 0, scores, N);
            put(scratch, mine, out, to + 64, 8 * H * D, below);
        }
        if (D > 144) {
            context.mmaStore(o9, scratch, 0, scores, N);
            put(scratch, mine, out, to + 72, 8 * H * D, below);
        }
        if (D > 160) {
            context.mmaStore(o10, scratch, 0, scores, N);
            put(scratch, mine, out, to + 80, 8 * H * D, below);
        }
        if (D > 176) {
            context.mmaStore(o11, scratch, 0, scores, N);
            put(scratch, mine, out, to + 88, 8 * H * D, below);
        }
        if (D > 192) {
            context.mmaStore(o12, scratch, 0, scores, N);
            put(scratch, mine, out, to + 96, 8 * H * D, below);
        }
        if (D > 208) {
            context.mmaStore(o13, scratch, 0, scores, N);
            put(scratch, mine, out, to + 104, 8 * H * D, below);
        }
        if (D > 224) {
            context.mmaStore(o14, scratch, 0, scores, N);
            put(scratch, mine, out, to + 112, 8 * H * D, below);
        }
        if (D > 240) {
            context.mmaStore(o15, scratch, 0, scores, N);
            put(scratch, mine, out, to + 120, 8 * H * D, below);
        }
    }

    /// [AttentionKernels#queryGrad]
    static void queryGradMma(KernelContext context, IntArray at, int slot, IntArray q, IntArray k, IntArray v,
            IntArray dOut, IntArray start, FloatArray lse, FloatArray delta, FloatArray dQ, FloatArray scratch, int T,
            int H, int KV, int D, float scale, int window, int R) {
        int[] own = context.allocateIntLocalArray(8 * R * D);
        int[] ownOut = context.allocateIntLocalArray(8 * R * D);
        int[] tile = context.allocateIntLocalArray(STEP / 2 * D);
        int[] dS = context.allocateIntLocalArray(8 * R * STEP);
        int qAt = at.get(slot);
        int kAt = at.get(slot + 1);
        int vAt = at.get(slot + 2);
        int dOutAt = at.get(slot + 3);
        int startAt = at.get(slot + 4);
        int steps = at.get(slot + 9);
        int tiles = at.get(slot + 10);
        int id = context.localIdx;
        int lane = id & 31;
        int warp = id >> 5;
        int fix = fix(lane);
        // half of the lanes store two rows in the other order: no two lanes of a store then use one bank
        int swap = lane >> 4 << 2;
        int row = (warp >> 1) * 16 + (lane >> 2);
        int column = (warp & 1) * 16 + (lane & 3) * 2;
        int i0 = ((T - 1) / (16 * R) - context.groupIdx) * (16 * R);
        int h = context.groupIdy % H;
        int row0 = context.groupIdy / H * T;
        int group = h / (H / KV);
        int i = i0 + row;
        int firstA = firstKey(start.get(startAt + row0 + TornadoMath.min(i, T - 1)), i, window);
        int firstB = firstKey(start.get(startAt + row0 + TornadoMath.min(i + 8, T - 1)), i + 8, window);
        int low = T - 1;
        for (int r = 0; r < 16 * tiles; r++) {
            int n = TornadoMath.min(i0 + r, T - 1);
            low = TornadoMath.min(low, firstKey(start.get(startAt + row0 + n), n, window));
        }
        int scores = at.get(slot + 8)
                + ((context.groupIdy * ((T + 16 * R - 1) / (16 * R)) + context.groupIdx) * 2 * R + warp) * WARP_SCRATCH;
        int mine = scores + 2 * lane;
        for (int c = 0; c < steps; c++)
            for (int r = id >> 3; r < 16 * tiles; r += 8 * tiles)
                own[left(r, c, steps, id & 7)] = i0 + r < T
                        ? q.get(qAt + ((row0 + i0 + r) * H + h) * (D >> 1) + c * 8 + (id & 7))
                        : 0;
        for (int c = 0; c < steps; c++)
            for (int r = id >> 3; r < 16 * tiles; r += 8 * tiles)
                ownOut[left(r, c, steps, id & 7)] = i0 + r < T
                        ? dOut.get(dOutAt + ((row0 + i0 + r) * H + h) * (D >> 1) + c * 8 + (id & 7))
                        : 0;
        int headA = (row0 + TornadoMath.min(i, T - 1)) * H + h;
        int headB = (row0 + TornadoMath.min(i + 8, T - 1)) * H + h;
        float lseA = lse.get(at.get(slot + 5) + headA);
        float lseB = lse.get(at.get(slot + 5) + headB);
        float deltaA = delta.get(at.get(slot + 6) + headA);
        float deltaB = delta.get(at.get(slot + 6) + headB);
        int upper = (warp & 1) * steps * 256;
        int lower = upper + steps * 512;
        float[] o0 = context.mmaFragment(0f);
        float[] o1 = context.mmaFragment(0f);
        float[] o2 = context.mmaFragment(0f);
        float[] o3 = context.mmaFragment(0f);
        float[] o4 = context.mmaFragment(0f);
        float[] o5 = context.mmaFragment(0f);
        float[] o6 = context.mmaFragment(0f);
        float[] o7 = context.mmaFragment(0f);
        float[] o8 = context.mmaFragment(0f);
        float[] o9 = context.mmaFragment(0f);
        float[] o10 = context.mmaFragment(0f);
        float[] o11 = context.mmaFragment(0f);
        float[] o12 = context.mmaFragment(0f);
        float[] o13 = context.mmaFragment(0f);
        float[] o14 = context.mmaFragment(0f);
        float[] o15 = context.mmaFragment(0f);
        context.localBarrier();
        int left = (warp >> 1) * steps * 512 + fix;
        int side = (warp & 1) * 512;
        HalfFloat[] x0 = context.mmaLoadA(own, K, left);
        HalfFloat[] x1 = context.mmaLoadA(own, K, left + TornadoMath.min(1, steps - 1) * 512);
        HalfFloat[] x2 = context.mmaLoadA(own, K, left + TornadoMath.min(2, steps - 1) * 512);
        HalfFloat[] x3 = context.mmaLoadA(own, K, left + TornadoMath.min(3, steps - 1) * 512);
        HalfFloat[] x4 = context.mmaLoadA(own, K, left + TornadoMath.min(4, steps - 1) * 512);
        HalfFloat[] x5 = context.mmaLoadA(own, K, left + TornadoMath.min(5, steps - 1) * 512);
        HalfFloat[] x6 = context.mmaLoadA(own, K, left + TornadoMath.min(6, steps - 1) * 512);
        HalfFloat[] x7 = context.mmaLoadA(own, K, left + TornadoMath.min(7, steps - 1) * 512);
        HalfFloat[] y0 = context.mmaLoadA(ownOut, K, left);
        HalfFloat[] y1 = context.mmaLoadA(ownOut, K, left + TornadoMath.min(1, steps - 1) * 512);
        HalfFloat[] y2 = context.mmaLoadA(ownOut, K, left + TornadoMath.min(2, steps - 1) * 512);
        HalfFloat[] y3 = context.mmaLoadA(ownOut, K, left + TornadoMath.min(3, steps - 1) * 512);
        HalfFloat[] y4 = context.mmaLoadA(ownOut, K, left + TornadoMath.min(4, steps - 1) * 512);
        HalfFloat[] y5 = context.mmaLoadA(ownOut, K, left + TornadoMath.min(5, steps - 1) * 512);
        HalfFloat[] y6 = context.mmaLoadA(ownOut, K, left + TornadoMath.min(6, steps - 1) * 512);
        HalfFloat[] y7 = context.mmaLoadA(ownOut, K, left + TornadoMath.min(7, steps - 1) * 512);
        for (int j0 = low; j0 < TornadoMath.min(i0 + 16 * tiles, T); j0 += STEP) {
            for (int c = 0; c < steps; c++)
                for (int n = id >> 5; n < STEP / N; n += 2 * tiles) {
                    int j = j0 + n * N + (id & 3) * 2;
                    int from = kAt + ((row0 + j) * KV + group) * (D >> 1) + c * 8 + (id >> 2 & 7);
                    int one = j < T ? k.get(from) : 0;
                    int two = j + 1 < T ? k.get(from + KV * (D >> 1)) : 0;
                    int to = (c * 4 + n) * 64 + (id >> 2 & 7) * 8 + (id & 3);
                    int even = one & 0xffff | two << 16;
                    int odd = one >> 16 & 0xffff | two & 0xffff0000;
                    tile[to + swap] = swap == 0 ? even : odd;
                    tile[to + 4 - swap] = swap == 0 ? odd : even;
                }
            context.localBarrier();
            float[] s0 = context.mmaFragment(0f);
            float[] s1 = context.mmaFragment(0f);
            s0 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side), s0, M16N8K16);
            s1 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side + 256), s1, M16N8K16);
            if (D > 16) {
                s0 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1024), s0, M16N8K16);
                s1 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1280), s1, M16N8K16);
            }
            if (D > 32) {
                s0 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2048), s0, M16N8K16);
                s1 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2304), s1, M16N8K16);
            }
            if (D > 48) {
                s0 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3072), s0, M16N8K16);
                s1 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3328), s1, M16N8K16);
            }
            if (D > 64) {
                s0 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4096), s0, M16N8K16);
                s1 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4352), s1, M16N8K16);
            }
            if (D > 80) {
                s0 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5120), s0, M16N8K16);
                s1 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5376), s1, M16N8K16);
            }
            if (D > 96) {
                s0 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6144), s0, M16N8K16);
                s1 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6400), s1, M16N8K16);
            }
            if (D > 112) {
                s0 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7168), s0, M16N8K16);
                s1 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7424), s1, M16N8K16);
            }
            for (int c = 8; c < steps; c++) {
                HalfFloat[] more = context.mmaLoadA(own, K, ((warp >> 1) * steps + c) * 512 + fix);
                s0 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024), s0, M16N8K16);
                s1 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024 + 256), s1, M16N8K16);
            }
            context.mmaStore(s0, scratch, 0, scores, N);
            context.mmaStore(s1, scratch, 0, scores + 128, N);
            context.localBarrier();
            for (int c = 0; c < steps; c++)
                for (int n = id >> 5; n < STEP / N; n += 2 * tiles) {
                    int j = j0 + n * N + (id & 3) * 2;
                    int from = vAt + ((row0 + j) * KV + group) * (D >> 1) + c * 8 + (id >> 2 & 7);
                    int one = j < T ? v.get(from) : 0;
                    int two = j + 1 < T ? v.get(from + KV * (D >> 1)) : 0;
                    int to = (c * 4 + n) * 64 + (id >> 2 & 7) * 8 + (id & 3);
                    int even = one & 0xffff | two << 16;
                    int odd = one >> 16 & 0xffff | two & 0xffff0000;
                    tile[to + swap] = swap == 0 ? even : odd;
                    tile[to + 4 - swap] = swap == 0 ? odd : even;
                }
            context.localBarrier();
            float[] d0 = context.mmaFragment(0f);
            float[] d1 = context.mmaFragment(0f);
            d0 = context.mmaBF16(y0, context.mmaLoadB(tile, K, side), d0, M16N8K16);
            d1 = context.mmaBF16(y0, context.mmaLoadB(tile, K, side + 256), d1, M16N8K16);
            if (D > 16) {
                d0 = context.mmaBF16(y1, context.mmaLoadB(tile, K, side + 1024), d0, M16N8K16);
                d1 = context.mmaBF16(y1, context.mmaLoadB(tile, K, side + 1280), d1, M16N8K16);
            }
            if (D > 32) {
                d0 = context.mmaBF16(y2, context.mmaLoadB(tile, K, side + 2048), d0, M16N8K16);
                d1 = context.mmaBF16(y2, context.mmaLoadB(tile, K, side + 2304), d1, M16N8K16);
            }
            if (D > 48) {
                d0 = context.mmaBF16(y3, context.mmaLoadB(tile, K, side + 3072), d0, M16N8K16);
                d1 = context.mmaBF16(y3, context.mmaLoadB(tile, K, side + 3328), d1, M16N8K16);
            }
            if (D > 64) {
                d0 = context.mmaBF16(y4, context.mmaLoadB(tile, K, side + 4096), d0, M16N8K16);
                d1 = context.mmaBF16(y4, context.mmaLoadB(tile, K, side + 4352), d1, M16N8K16);
            }
            if (D > 80) {
                d0 = context.mmaBF16(y5, context.mmaLoadB(tile, K, side + 5120), d0, M16N8K16);
                d1 = context.mmaBF16(y5, context.mmaLoadB(tile, K, side + 5376), d1, M16N8K16);
            }
            if (D > 96) {
                d0 = context.mmaBF16(y6, context.mmaLoadB(tile, K, side + 6144), d0, M16N8K16);
                d1 = context.mmaBF16(y6, context.mmaLoadB(tile, K, side + 6400), d1, M16N8K16);
            }
            if (D > 112) {
                d0 = context.mmaBF16(y7, context.mmaLoadB(tile, K, side + 7168), d0, M16N8K16);
                d1 = context.mmaBF16(y7, context.mmaLoadB(tile, K, side + 7424), d1, M16N8K16);
            }
            for (int c = 8; c < steps; c++) {
                HalfFloat[] more = context.mmaLoadA(ownOut, K, ((warp >> 1) * steps + c) * 512 + fix);
                d0 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024), d0, M16N8K16);
                d1 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024 + 256), d1, M16N8K16);
            }
            context.mmaStore(d0, scratch, 0, scores + 256, N);
            context.mmaStore(d1, scratch, 0, scores + 384, N);
            int j = j0 + column;
            int to = warp * 128 + lane;
            float g0 = scale * probability(scratch.get(mine), scale, lseA, j, firstA, i)
                    * (scratch.get(mine + 256) - deltaA);
            float g1 = scale * probability(scratch.get(mine + 1), scale, lseA, j + 1, firstA, i)
                    * (scratch.get(mine + 257) - deltaA);
            float g2 = scale * probability(scratch.get(mine + 64), scale, lseB, j, firstB, i + 8)
                    * (scratch.get(mine + 320) - deltaB);
            float g3 = scale * probability(scratch.get(mine + 65), scale, lseB, j + 1, firstB, i + 8)
                    * (scratch.get(mine + 321) - deltaB);
            float g4 = scale * probability(scratch.get(mine + 128), scale, lseA, j + 8, firstA, i)
                    * (scratch.get(mine + 384) - deltaA);
            float g5 = scale * probability(scratch.get(mine + 129), scale, lseA, j + 9, firstA, i)
                    * (scratch.get(mine + 385) - deltaA);
            float g6 = scale * probability(scratch.get(mine + 192), scale, lseB, j + 8, firstB, i + 8)
                    * (scratch.get(mine + 448) - deltaB);
            float g7 = scale * probability(scratch.get(mine + 193), scale, lseB, j + 9, firstB, i + 8)
                    * (scratch.get(mine + 449) - deltaB);
            dS[to] = pair(g0, g1);
            dS[to + 32] = pair(g2, g3);
            dS[to + 64] = pair(g4, g5);
            dS[to + 96] = pair(g6, g7);
            context.localBarrier();
            for (int c = 0; c < steps; c++)
                for (int r = id >> 3; r < STEP; r += 8 * tiles)
                    tile[((r >> 4) * 2 * steps + c * 2 + (id >> 2 & 1)) * 64 + (r & 15) * 4 + (id & 3)] = j0 + r < T
                            ? k.get(kAt + ((row0 + j0 + r) * KV + group) * (D >> 1) + c * 8 + (id & 7))
                            : 0;
            context.localBarrier();
            HalfFloat[] left0 = context.mmaLoadA(dS, K, (warp >> 1) * 1024 + fix);
            HalfFloat[] left1 = context.mmaLoadA(dS, K, (warp >> 1) * 1024 + 512 + fix);
            o0 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper), o0, M16N8K16);
            o0 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower), o0, M16N8K16);
            if (D > 16) {
                o1 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 256), o1, M16N8K16);
                o1 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 256), o1, M16N8K16);
            }
            if (D > 32) {
                o2 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 512), o2, M16N8K16);
                o2 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 512), o2, M16N8K16);
            }
            if (D > 48) {
                o3 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 768), o3, M16N8K16);
                o3 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 768), o3, M16N8K16);
            }
            if (D > 64) {
                o4 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1024), o4, M16N8K16);
                o4 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1024), o4, M16N8K16);
            }
            if (D > 80) {
                o5 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1280), o5, M16N8K16);
                o5 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1280), o5, M16N8K16);
            }
            if (D > 96) {
                o6 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1536), o6, M16N8K16);
                o6 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1536), o6, M16N8K16);
            }
            if (D > 112) {
                o7 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1792), o7, M16N8K16);
                o7 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1792), o7, M16N8K16);
            }
            if (D > 128) {
                o8 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2048), o8, M16N8K16);
                o8 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2048), o8, M16N8K16);
            }
            if (D > 144) {
                o9 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2304), o9, M16N8K16);
                o9 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2304), o9, M16N8K16);
            }
            if (D > 160) {
                o10 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2560), o10, M16N8K16);
                o10 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2560), o10, M16N8K16);
            }
            if (D > 176) {
                o11 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2816), o11, M16N8K16);
                o11 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2816), o11, M16N8K16);
            }
            if (D > 192) {
                o12 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3072), o12, M16N8K16);
                o12 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3072), o12, M16N8K16);
            }
            if (D > 208) {
                o13 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3328), o13, M16N8K16);
                o13 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3328), o13, M16N8K16);
            }
            if (D > 224) {
                o14 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3584), o14, M16N8K16);
                o14 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3584), o14, M16N8K16);
            }
            if (D > 240) {
                o15 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3840), o15, M16N8K16);
                o15 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3840), o15, M16N8K16);
            }
            context.localBarrier();
        }
        int to = at.get(slot + 7) + ((row0 + i) * H + h) * D + (warp & 1) * steps * 8 + (lane & 3) * 2;
        int below = T - i;
        context.mmaStore(o0, scratch, 0, scores, N);
        put(scratch, mine, dQ, to + 0, 8 * H * D, below);
        if (D > 16) {
            context.mmaStore(o1, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 8, 8 * H * D, below);
        }
        if (D > 32) {
            context.mmaStore(o2, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 16, 8 * H * D, below);
        }
        if (D > 48) {
            context.mmaStore(o3, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 24, 8 * H * D, below);
        }
        if (D > 64) {
            context.mmaStore(o4, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 32, 8 * H * D, below);
        }
        if (D > 80) {
            context.mmaStore(o5, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 40, 8 * H * D, below);
        }
        if (D > 96) {
            context.mmaStore(o6, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 48, 8 * H * D, below);
        }
        if (D > 112) {
            context.mmaStore(o7, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 56, 8 * H * D, below);
        }
        if (D > 128) {
            context.mmaStore(o8, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 64, 8 * H * D, below);
        }
        if (D > 144) {
            context.mmaStore(o9, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 72, 8 * H * D, below);
        }
        if (D > 160) {
            context.mmaStore(o10, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 80, 8 * H * D, below);
        }
        if (D > 176) {
            context.mmaStore(o11, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 88, 8 * H * D, below);
        }
        if (D > 192) {
            context.mmaStore(o12, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 96, 8 * H * D, below);
        }
        if (D > 208) {
            context.mmaStore(o13, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 104, 8 * H * D, below);
        }
        if (D > 224) {
            context.mmaStore(o14, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 112, 8 * H * D, below);
        }
        if (D > 240) {
            context.mmaStore(o15, scratch, 0, scores, N);
            put(scratch, mine, dQ, to + 120, 8 * H * D, below);
        }
    }

    /// [AttentionKernels#keyValueGrad]; the scores have keys as rows and queries as columns.
    static void keyValueGradMma(KernelContext context, IntArray at, int slot, IntArray q, IntArray k, IntArray v,
            IntArray dOut, IntArray start, FloatArray lse, FloatArray delta, FloatArray dK, FloatArray dV,
            FloatArray scratch, int T, int H, int KV, int D, float scale, int window, int R) {
        int[] own = context.allocateIntLocalArray(8 * R * D);
        int[] ownValue = context.allocateIntLocalArray(8 * R * D);
        int[] tile = context.allocateIntLocalArray(STEP / 2 * D);
        int[] p = context.allocateIntLocalArray(8 * R * STEP);
        int qAt = at.get(slot);
        int kAt = at.get(slot + 1);
        int vAt = at.get(slot + 2);
        int dOutAt = at.get(slot + 3);
        int startAt = at.get(slot + 4);
        int lseAt = at.get(slot + 5);
        int deltaAt = at.get(slot + 6);
        int steps = at.get(slot + 10);
        int tiles = at.get(slot + 11);
        int id = context.localIdx;
        int lane = id & 31;
        int warp = id >> 5;
        int fix = fix(lane);
        // half of the lanes store two rows in the other order: no two lanes of a store then use one bank
        int swap = lane >> 4 << 2;
        int row = (warp >> 1) * 16 + (lane >> 2);
        int column = (warp & 1) * 16 + (lane & 3) * 2;
        int i0 = context.groupIdx * (16 * R);
        int group = context.groupIdy % KV;
        int row0 = context.groupIdy / KV * T;
        int last = window > 0 ? TornadoMath.min(T - 1, i0 + 16 * R - 1 + window - 1) : T - 1;
        int scores = at.get(slot + 9)
                + ((context.groupIdy * ((T + 16 * R - 1) / (16 * R)) + context.groupIdx) * 2 * R + warp) * WARP_SCRATCH;
        int mine = scores + 2 * lane;
        for (int c = 0; c < steps; c++)
            for (int r = id >> 3; r < 16 * tiles; r += 8 * tiles)
                own[left(r, c, steps, id & 7)] = i0 + r < T
                        ? k.get(kAt + ((row0 + i0 + r) * KV + group) * (D >> 1) + c * 8 + (id & 7))
                        : 0;
        for (int c = 0; c < steps; c++)
            for (int r = id >> 3; r < 16 * tiles; r += 8 * tiles)
                ownValue[left(r, c, steps, id & 7)] = i0 + r < T
                        ? v.get(vAt + ((row0 + i0 + r) * KV + group) * (D >> 1) + c * 8 + (id & 7))
                        : 0;
        int key = i0 + row;
        int upper = (warp & 1) * steps * 256;
        int lower = upper + steps * 512;
        float[] dk0 = context.mmaFragment(0f);
        float[] dk1 = context.mmaFragment(0f);
        float[] dk2 = context.mmaFragment(0f);
        float[] dk3 = context.mmaFragment(0f);
        float[] dk4 = context.mmaFragment(0f);
        float[] dk5 = context.mmaFragment(0f);
        float[] dk6 = context.mmaFragment(0f);
        float[] dk7 = context.mmaFragment(0f);
        float[] dk8 = context.mmaFragment(0f);
        float[] dk9 = context.mmaFragment(0f);
        float[] dk10 = context.mmaFragment(0f);
        float[] dk11 = context.mmaFragment(0f);
        float[] dk12 = context.mmaFragment(0f);
        float[] dk13 = context.mmaFragment(0f);
        float[] dk14 = context.mmaFragment(0f);
        float[] dk15 = context.mmaFragment(0f);
        float[] dv0 = context.mmaFragment(0f);
        float[] dv1 = context.mmaFragment(0f);
        float[] dv2 = context.mmaFragment(0f);
        float[] dv3 = context.mmaFragment(0f);
        float[] dv4 = context.mmaFragment(0f);
        float[] dv5 = context.mmaFragment(0f);
        float[] dv6 = context.mmaFragment(0f);
        float[] dv7 = context.mmaFragment(0f);
        float[] dv8 = context.mmaFragment(0f);
        float[] dv9 = context.mmaFragment(0f);
        float[] dv10 = context.mmaFragment(0f);
        float[] dv11 = context.mmaFragment(0f);
        float[] dv12 = context.mmaFragment(0f);
        float[] dv13 = context.mmaFragment(0f);
        float[] dv14 = context.mmaFragment(0f);
        float[] dv15 = context.mmaFragment(0f);
        context.localBarrier();
        int left = (warp >> 1) * steps * 512 + fix;
        int side = (warp & 1) * 512;
        HalfFloat[] x0 = context.mmaLoadA(own, K, left);
        HalfFloat[] x1 = context.mmaLoadA(own, K, left + TornadoMath.min(1, steps - 1) * 512);
        HalfFloat[] x2 = context.mmaLoadA(own, K, left + TornadoMath.min(2, steps - 1) * 512);
        HalfFloat[] x3 = context.mmaLoadA(own, K, left + TornadoMath.min(3, steps - 1) * 512);
        HalfFloat[] x4 = context.mmaLoadA(own, K, left + TornadoMath.min(4, steps - 1) * 512);
        HalfFloat[] x5 = context.mmaLoadA(own, K, left + TornadoMath.min(5, steps - 1) * 512);
        HalfFloat[] x6 = context.mmaLoadA(own, K, left + TornadoMath.min(6, steps - 1) * 512);
        HalfFloat[] x7 = context.mmaLoadA(own, K, left + TornadoMath.min(7, steps - 1) * 512);
        HalfFloat[] y0 = context.mmaLoadA(ownValue, K, left);
        HalfFloat[] y1 = context.mmaLoadA(ownValue, K, left + TornadoMath.min(1, steps - 1) * 512);
        HalfFloat[] y2 = context.mmaLoadA(ownValue, K, left + TornadoMath.min(2, steps - 1) * 512);
        HalfFloat[] y3 = context.mmaLoadA(ownValue, K, left + TornadoMath.min(3, steps - 1) * 512);
        HalfFloat[] y4 = context.mmaLoadA(ownValue, K, left + TornadoMath.min(4, steps - 1) * 512);
        HalfFloat[] y5 = context.mmaLoadA(ownValue, K, left + TornadoMath.min(5, steps - 1) * 512);
        HalfFloat[] y6 = context.mmaLoadA(ownValue, K, left + TornadoMath.min(6, steps - 1) * 512);
        HalfFloat[] y7 = context.mmaLoadA(ownValue, K, left + TornadoMath.min(7, steps - 1) * 512);
        for (int n = 0; n < (H / KV) * ((last - i0 >> 5) + 1); n++) {
            int h = group * (H / KV) + n / ((last - i0 >> 5) + 1);
            int q0 = i0 + n % ((last - i0 >> 5) + 1) * STEP;
            for (int c = 0; c < steps; c++)
                for (int m = id >> 5; m < STEP / N; m += 2 * tiles) {
                    int j = q0 + m * N + (id & 3) * 2;
                    int from = qAt + ((row0 + j) * H + h) * (D >> 1) + c * 8 + (id >> 2 & 7);
                    int one = j < T ? q.get(from) : 0;
                    int two = j + 1 < T ? q.get(from + H * (D >> 1)) : 0;
                    int to = (c * 4 + m) * 64 + (id >> 2 & 7) * 8 + (id & 3);
                    int even = one & 0xffff | two << 16;
                    int odd = one >> 16 & 0xffff | two & 0xffff0000;
                    tile[to + swap] = swap == 0 ? even : odd;
                    tile[to + 4 - swap] = swap == 0 ? odd : even;
                }
            context.localBarrier();
            float[] s0 = context.mmaFragment(0f);
            float[] s1 = context.mmaFragment(0f);
            // larger heads leave no registers for these
            if (D <= 128) {
                s0 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side), s0, M16N8K16);
                s1 = context.mmaBF16(x0, context.mmaLoadB(tile, K, side + 256), s1, M16N8K16);
            }
            if (D > 16 && D <= 128) {
                s0 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1024), s0, M16N8K16);
                s1 = context.mmaBF16(x1, context.mmaLoadB(tile, K, side + 1280), s1, M16N8K16);
            }
            if (D > 32 && D <= 128) {
                s0 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2048), s0, M16N8K16);
                s1 = context.mmaBF16(x2, context.mmaLoadB(tile, K, side + 2304), s1, M16N8K16);
            }
            if (D > 48 && D <= 128) {
                s0 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3072), s0, M16N8K16);
                s1 = context.mmaBF16(x3, context.mmaLoadB(tile, K, side + 3328), s1, M16N8K16);
            }
            if (D > 64 && D <= 128) {
                s0 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4096), s0, M16N8K16);
                s1 = context.mmaBF16(x4, context.mmaLoadB(tile, K, side + 4352), s1, M16N8K16);
            }
            if (D > 80 && D <= 128) {
                s0 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5120), s0, M16N8K16);
                s1 = context.mmaBF16(x5, context.mmaLoadB(tile, K, side + 5376), s1, M16N8K16);
            }
            if (D > 96 && D <= 128) {
                s0 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6144), s0, M16N8K16);
                s1 = context.mmaBF16(x6, context.mmaLoadB(tile, K, side + 6400), s1, M16N8K16);
            }
            if (D > 112 && D <= 128) {
                s0 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7168), s0, M16N8K16);
                s1 = context.mmaBF16(x7, context.mmaLoadB(tile, K, side + 7424), s1, M16N8K16);
            }
            for (int c = D <= 128 ? 8 : 0; c < steps; c++) {
                HalfFloat[] more = context.mmaLoadA(own, K, ((warp >> 1) * steps + c) * 512 + fix);
                s0 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024), s0, M16N8K16);
                s1 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024 + 256), s1, M16N8K16);
            }
            context.mmaStore(s0, scratch, 0, scores, N);
            context.mmaStore(s1, scratch, 0, scores + 128, N);
            context.localBarrier();
            for (int c = 0; c < steps; c++)
                for (int m = id >> 5; m < STEP / N; m += 2 * tiles) {
                    int j = q0 + m * N + (id & 3) * 2;
                    int from = dOutAt + ((row0 + j) * H + h) * (D >> 1) + c * 8 + (id >> 2 & 7);
                    int one = j < T ? dOut.get(from) : 0;
                    int two = j + 1 < T ? dOut.get(from + H * (D >> 1)) : 0;
                    int to = (c * 4 + m) * 64 + (id >> 2 & 7) * 8 + (id & 3);
                    int even = one & 0xffff | two << 16;
                    int odd = one >> 16 & 0xffff | two & 0xffff0000;
                    tile[to + swap] = swap == 0 ? even : odd;
                    tile[to + 4 - swap] = swap == 0 ? odd : even;
                }
            context.localBarrier();
            float[] d0 = context.mmaFragment(0f);
            float[] d1 = context.mmaFragment(0f);
            if (D <= 128) {
                d0 = context.mmaBF16(y0, context.mmaLoadB(tile, K, side), d0, M16N8K16);
                d1 = context.mmaBF16(y0, context.mmaLoadB(tile, K, side + 256), d1, M16N8K16);
            }
            if (D > 16 && D <= 128) {
                d0 = context.mmaBF16(y1, context.mmaLoadB(tile, K, side + 1024), d0, M16N8K16);
                d1 = context.mmaBF16(y1, context.mmaLoadB(tile, K, side + 1280), d1, M16N8K16);
            }
            if (D > 32 && D <= 128) {
                d0 = context.mmaBF16(y2, context.mmaLoadB(tile, K, side + 2048), d0, M16N8K16);
                d1 = context.mmaBF16(y2, context.mmaLoadB(tile, K, side + 2304), d1, M16N8K16);
            }
            if (D > 48 && D <= 128) {
                d0 = context.mmaBF16(y3, context.mmaLoadB(tile, K, side + 3072), d0, M16N8K16);
                d1 = context.mmaBF16(y3, context.mmaLoadB(tile, K, side + 3328), d1, M16N8K16);
            }
            if (D > 64 && D <= 128) {
                d0 = context.mmaBF16(y4, context.mmaLoadB(tile, K, side + 4096), d0, M16N8K16);
                d1 = context.mmaBF16(y4, context.mmaLoadB(tile, K, side + 4352), d1, M16N8K16);
            }
            if (D > 80 && D <= 128) {
                d0 = context.mmaBF16(y5, context.mmaLoadB(tile, K, side + 5120), d0, M16N8K16);
                d1 = context.mmaBF16(y5, context.mmaLoadB(tile, K, side + 5376), d1, M16N8K16);
            }
            if (D > 96 && D <= 128) {
                d0 = context.mmaBF16(y6, context.mmaLoadB(tile, K, side + 6144), d0, M16N8K16);
                d1 = context.mmaBF16(y6, context.mmaLoadB(tile, K, side + 6400), d1, M16N8K16);
            }
            if (D > 112 && D <= 128) {
                d0 = context.mmaBF16(y7, context.mmaLoadB(tile, K, side + 7168), d0, M16N8K16);
                d1 = context.mmaBF16(y7, context.mmaLoadB(tile, K, side + 7424), d1, M16N8K16);
            }
            for (int c = D <= 128 ? 8 : 0; c < steps; c++) {
                HalfFloat[] more = context.mmaLoadA(ownValue, K, ((warp >> 1) * steps + c) * 512 + fix);
                d0 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024), d0, M16N8K16);
                d1 = context.mmaBF16(more, context.mmaLoadB(tile, K, side + c * 1024 + 256), d1, M16N8K16);
            }
            context.mmaStore(d0, scratch, 0, scores + 256, N);
            context.mmaStore(d1, scratch, 0, scores + 384, N);
            int i = q0 + column;
            int to = warp * 128 + lane;
            int near0 = row0 + TornadoMath.min(i, T - 1);
            int first0 = i < T ? firstKey(start.get(startAt + near0), i, window) : T;
            float lse0 = lse.get(lseAt + near0 * H + h);
            float delta0 = delta.get(deltaAt + near0 * H + h);
            int near1 = row0 + TornadoMath.min(i + 1, T - 1);
            int first1 = i + 1 < T ? firstKey(start.get(startAt + near1), i + 1, window) : T;
            float lse1 = lse.get(lseAt + near1 * H + h);
            float delta1 = delta.get(deltaAt + near1 * H + h);
            int near2 = row0 + TornadoMath.min(i + 8, T - 1);
            int first2 = i + 8 < T ? firstKey(start.get(startAt + near2), i + 8, window) : T;
            float lse2 = lse.get(lseAt + near2 * H + h);
            float delta2 = delta.get(deltaAt + near2 * H + h);
            int near3 = row0 + TornadoMath.min(i + 9, T - 1);
            int first3 = i + 9 < T ? firstKey(start.get(startAt + near3), i + 9, window) : T;
            float lse3 = lse.get(lseAt + near3 * H + h);
            float delta3 = delta.get(deltaAt + near3 * H + h);
            float a0 = probability(scratch.get(mine), scale, lse0, key, first0, i);
            float da0 = scale * a0 * (scratch.get(mine + 256) - delta0);
            float a1 = probability(scratch.get(mine + 1), scale, lse1, key, first1, i + 1);
            float da1 = scale * a1 * (scratch.get(mine + 257) - delta1);
            float a2 = probability(scratch.get(mine + 128), scale, lse2, key, first2, i + 8);
            float da2 = scale * a2 * (scratch.get(mine + 384) - delta2);
            float a3 = probability(scratch.get(mine + 129), scale, lse3, key, first3, i + 9);
            float da3 = scale * a3 * (scratch.get(mine + 385) - delta3);
            float b0 = probability(scratch.get(mine + 64), scale, lse0, key + 8, first0, i);
            float db0 = scale * b0 * (scratch.get(mine + 320) - delta0);
            float b1 = probability(scratch.get(mine + 65), scale, lse1, key + 8, first1, i + 1);
            float db1 = scale * b1 * (scratch.get(mine + 321) - delta1);
            float b2 = probability(scratch.get(mine + 192), scale, lse2, key + 8, first2, i + 8);
            float db2 = scale * b2 * (scratch.get(mine + 448) - delta2);
            float b3 = probability(scratch.get(mine + 193), scale, lse3, key + 8, first3, i + 9);
            float db3 = scale * b3 * (scratch.get(mine + 449) - delta3);
            p[to] = pair(a0, a1);
            p[to + 32] = pair(b0, b1);
            p[to + 64] = pair(a2, a3);
            p[to + 96] = pair(b2, b3);
            context.localBarrier();
            for (int c = 0; c < steps; c++)
                for (int r = id >> 3; r < STEP; r += 8 * tiles)
                    tile[((r >> 4) * 2 * steps + c * 2 + (id >> 2 & 1)) * 64 + (r & 15) * 4 + (id & 3)] = q0 + r < T
                            ? dOut.get(dOutAt + ((row0 + q0 + r) * H + h) * (D >> 1) + c * 8 + (id & 7))
                            : 0;
            context.localBarrier();
            HalfFloat[] left0 = context.mmaLoadA(p, K, (warp >> 1) * 1024 + fix);
            HalfFloat[] left1 = context.mmaLoadA(p, K, (warp >> 1) * 1024 + 512 + fix);
            dv0 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper), dv0, M16N8K16);
            dv0 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower), dv0, M16N8K16);
            if (D > 16) {
                dv1 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 256), dv1, M16N8K16);
                dv1 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 256), dv1, M16N8K16);
            }
            if (D > 32) {
                dv2 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 512), dv2, M16N8K16);
                dv2 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 512), dv2, M16N8K16);
            }
            if (D > 48) {
                dv3 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 768), dv3, M16N8K16);
                dv3 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 768), dv3, M16N8K16);
            }
            if (D > 64) {
                dv4 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1024), dv4, M16N8K16);
                dv4 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1024), dv4, M16N8K16);
            }
            if (D > 80) {
                dv5 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1280), dv5, M16N8K16);
                dv5 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1280), dv5, M16N8K16);
            }
            if (D > 96) {
                dv6 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1536), dv6, M16N8K16);
                dv6 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1536), dv6, M16N8K16);
            }
            if (D > 112) {
                dv7 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1792), dv7, M16N8K16);
                dv7 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1792), dv7, M16N8K16);
            }
            if (D > 128) {
                dv8 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2048), dv8, M16N8K16);
                dv8 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2048), dv8, M16N8K16);
            }
            if (D > 144) {
                dv9 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2304), dv9, M16N8K16);
                dv9 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2304), dv9, M16N8K16);
            }
            if (D > 160) {
                dv10 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2560), dv10, M16N8K16);
                dv10 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2560), dv10, M16N8K16);
            }
            if (D > 176) {
                dv11 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2816), dv11, M16N8K16);
                dv11 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2816), dv11, M16N8K16);
            }
            if (D > 192) {
                dv12 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3072), dv12, M16N8K16);
                dv12 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3072), dv12, M16N8K16);
            }
            if (D > 208) {
                dv13 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3328), dv13, M16N8K16);
                dv13 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3328), dv13, M16N8K16);
            }
            if (D > 224) {
                dv14 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3584), dv14, M16N8K16);
                dv14 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3584), dv14, M16N8K16);
            }
            if (D > 240) {
                dv15 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3840), dv15, M16N8K16);
                dv15 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3840), dv15, M16N8K16);
            }
            context.localBarrier();
            p[to] = pair(da0, da1);
            p[to + 32] = pair(db0, db1);
            p[to + 64] = pair(da2, da3);
            p[to + 96] = pair(db2, db3);
            for (int c = 0; c < steps; c++)
                for (int r = id >> 3; r < STEP; r += 8 * tiles)
                    tile[((r >> 4) * 2 * steps + c * 2 + (id >> 2 & 1)) * 64 + (r & 15) * 4 + (id & 3)] = q0 + r < T
                            ? q.get(qAt + ((row0 + q0 + r) * H + h) * (D >> 1) + c * 8 + (id & 7))
                            : 0;
            context.localBarrier();
            left0 = context.mmaLoadA(p, K, (warp >> 1) * 1024 + fix);
            left1 = context.mmaLoadA(p, K, (warp >> 1) * 1024 + 512 + fix);
            dk0 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper), dk0, M16N8K16);
            dk0 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower), dk0, M16N8K16);
            if (D > 16) {
                dk1 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 256), dk1, M16N8K16);
                dk1 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 256), dk1, M16N8K16);
            }
            if (D > 32) {
                dk2 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 512), dk2, M16N8K16);
                dk2 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 512), dk2, M16N8K16);
            }
            if (D > 48) {
                dk3 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 768), dk3, M16N8K16);
                dk3 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 768), dk3, M16N8K16);
            }
            if (D > 64) {
                dk4 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1024), dk4, M16N8K16);
                dk4 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1024), dk4, M16N8K16);
            }
            if (D > 80) {
                dk5 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1280), dk5, M16N8K16);
                dk5 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1280), dk5, M16N8K16);
            }
            if (D > 96) {
                dk6 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1536), dk6, M16N8K16);
                dk6 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1536), dk6, M16N8K16);
            }
            if (D > 112) {
                dk7 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 1792), dk7, M16N8K16);
                dk7 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 1792), dk7, M16N8K16);
            }
            if (D > 128) {
                dk8 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2048), dk8, M16N8K16);
                dk8 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2048), dk8, M16N8K16);
            }
            if (D > 144) {
                dk9 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2304), dk9, M16N8K16);
                dk9 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2304), dk9, M16N8K16);
            }
            if (D > 160) {
                dk10 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2560), dk10, M16N8K16);
                dk10 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2560), dk10, M16N8K16);
            }
            if (D > 176) {
                dk11 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 2816), dk11, M16N8K16);
                dk11 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 2816), dk11, M16N8K16);
            }
            if (D > 192) {
                dk12 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3072), dk12, M16N8K16);
                dk12 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3072), dk12, M16N8K16);
            }
            if (D > 208) {
                dk13 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3328), dk13, M16N8K16);
                dk13 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3328), dk13, M16N8K16);
            }
            if (D > 224) {
                dk14 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3584), dk14, M16N8K16);
                dk14 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3584), dk14, M16N8K16);
            }
            if (D > 240) {
                dk15 = context.mmaBF16(left0, context.mmaLoadB(tile, K, upper + 3840), dk15, M16N8K16);
                dk15 = context.mmaBF16(left1, context.mmaLoadB(tile, K, lower + 3840), dk15, M16N8K16);
            }
            context.localBarrier();
        }
        int below = T - key;
        int feature = ((row0 + key) * KV + group) * D + (warp & 1) * steps * 8 + (lane & 3) * 2;
        int toK = at.get(slot + 7) + feature;
        int toV = at.get(slot + 8) + feature;
        context.mmaStore(dk0, scratch, 0, scores, N);
        put(scratch, mine, dK, toK + 0, 8 * KV * D, below);
        if (D > 16) {
            context.mmaStore(dk1, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 8, 8 * KV * D, below);
        }
        if (D > 32) {
            context.mmaStore(dk2, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 16, 8 * KV * D, below);
        }
        if (D > 48) {
            context.mmaStore(dk3, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 24, 8 * KV * D, below);
        }
        if (D > 64) {
            context.mmaStore(dk4, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 32, 8 * KV * D, below);
        }
        if (D > 80) {
            context.mmaStore(dk5, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 40, 8 * KV * D, below);
        }
        if (D > 96) {
            context.mmaStore(dk6, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 48, 8 * KV * D, below);
        }
        if (D > 112) {
            context.mmaStore(dk7, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 56, 8 * KV * D, below);
        }
        if (D > 128) {
            context.mmaStore(dk8, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 64, 8 * KV * D, below);
        }
        if (D > 144) {
            context.mmaStore(dk9, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 72, 8 * KV * D, below);
        }
        if (D > 160) {
            context.mmaStore(dk10, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 80, 8 * KV * D, below);
        }
        if (D > 176) {
            context.mmaStore(dk11, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 88, 8 * KV * D, below);
        }
        if (D > 192) {
            context.mmaStore(dk12, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 96, 8 * KV * D, below);
        }
        if (D > 208) {
            context.mmaStore(dk13, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 104, 8 * KV * D, below);
        }
        if (D > 224) {
            context.mmaStore(dk14, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 112, 8 * KV * D, below);
        }
        if (D > 240) {
            context.mmaStore(dk15, scratch, 0, scores, N);
            put(scratch, mine, dK, toK + 120, 8 * KV * D, below);
        }
        context.mmaStore(dv0, scratch, 0, scores, N);
        put(scratch, mine, dV, toV + 0, 8 * KV * D, below);
        if (D > 16) {
            context.mmaStore(dv1, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 8, 8 * KV * D, below);
        }
        if (D > 32) {
            context.mmaStore(dv2, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 16, 8 * KV * D, below);
        }
        if (D > 48) {
            context.mmaStore(dv3, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 24, 8 * KV * D, below);
        }
        if (D > 64) {
            context.mmaStore(dv4, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 32, 8 * KV * D, below);
        }
        if (D > 80) {
            context.mmaStore(dv5, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 40, 8 * KV * D, below);
        }
        if (D > 96) {
            context.mmaStore(dv6, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 48, 8 * KV * D, below);
        }
        if (D > 112) {
            context.mmaStore(dv7, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 56, 8 * KV * D, below);
        }
        if (D > 128) {
            context.mmaStore(dv8, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 64, 8 * KV * D, below);
        }
        if (D > 144) {
            context.mmaStore(dv9, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 72, 8 * KV * D, below);
        }
        if (D > 160) {
            context.mmaStore(dv10, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 80, 8 * KV * D, below);
        }
        if (D > 176) {
            context.mmaStore(dv11, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 88, 8 * KV * D, below);
        }
        if (D > 192) {
            context.mmaStore(dv12, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 96, 8 * KV * D, below);
        }
        if (D > 208) {
            context.mmaStore(dv13, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 104, 8 * KV * D, below);
        }
        if (D > 224) {
            context.mmaStore(dv14, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 112, 8 * KV * D, below);
        }
        if (D > 240) {
            context.mmaStore(dv15, scratch, 0, scores, N);
            put(scratch, mine, dV, toV + 120, 8 * KV * D, below);
        }
    }
}
