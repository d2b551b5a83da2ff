package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ElementPairKernels.high;
import static dev.gyre.kernels.tornado.ElementPairKernels.low;
import static dev.gyre.kernels.tornado.ElementPairKernels.pair;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [RotateTileKernels] of activations in BF16: each of them is a FloatArray or pairs in an IntArray; the other one of the two is
/// not touched. Blocks have an even number of features.
///
/// Each item has 8 x 8 results in registers, so that 16 reads of local memory feed 64 multiply-adds: with activations in BF16, those
/// reads and not the device's memory bound the 4 x 4 results of [RotateTileKernels].
final class RotatePairKernels {
    /// Items along a work group's rows.
    static final int WIDTH = 4;
    /// Elements of dR along each side of a work group's tile.
    static final int TILE = 32;
    /// Shares of the rows in a work group of the gradient.
    static final int SLICES = 4;
    private static final int PITCH = TILE + 1;

    private RotatePairKernels() {
    }

    /// Whether rotations of such blocks are computed here.
    static boolean takes(int b) {
        return (b & 1) == 0 && b <= RotateTileKernels.MAX_BLOCK;
    }

    /// Items along a work group's columns: an eighth of the rows whose numbers fit in local memory together with R.
    static int height(int b) {
        return b <= TILE ? 16 : 8;
    }

    private static void put(FloatArray y, int yAt, IntArray pairs, int pairsAt, int i, float v0, float v1, int packed,
            int accumulate) {
        if (packed != 0)
            pairs.set(pairsAt + (i >> 1), pair(v0, v1));
        else {
            y.set(yAt + i, accumulate != 0 ? y.get(yAt + i) + v0 : v0);
            y.set(yAt + i + 1, accumulate != 0 ? y.get(yAt + i + 1) + v1 : v1);
        }
    }

    private static void put(FloatArray y, int yAt, IntArray pairs, int pairsAt, int row, int c, int width, float v0,
            float v1, float v2, float v3, float v4, float v5, float v6, float v7, int packed, int accumulate) {
        if (c < width)
            put(y, yAt, pairs, pairsAt, row + c, v0, v1, packed, accumulate);
        if (c + 8 < width)
            put(y, yAt, pairs, pairsAt, row + c + 8, v2, v3, packed, accumulate);
        if (c + 16 < width)
            put(y, yAt, pairs, pairsAt, row + c + 16, v4, v5, packed, accumulate);
        if (c + 24 < width)
            put(y, yAt, pairs, pairsAt, row + c + 24, v6, v7, packed, accumulate);
    }

    /// [RotateTileKernels#rotateRows] of `8 height` rows in a work group.
    static void rotatePairs(KernelContext context, IntArray at, int slot, FloatArray x, IntArray xPairs, FloatArray r,
            FloatArray y, IntArray pairs, int N, int d, int b, int stored, int transpose, int packedX, int packedY,
            int accumulate, int height) {
        int pitch = (b + 31 & ~31) + 1;
        int rowPitch = b | 1;
        float[] rotation = context.allocateFloatLocalArray(b * pitch);
        float[] rows = context.allocateFloatLocalArray(8 * height * rowPitch);
        int lane = context.localIdx;
        int line = context.localIdy;
        int block = context.groupIdx;
        int t0 = context.groupIdy * (8 * height);
        int rAt = at.get(slot + 2) + (stored == 1 ? 0 : block * b * b);
        int yAt = at.get(slot + 3);
        int pairsAt = at.get(slot + 4);
        int from = t0 * d + block * b;
        for (int e = line * WIDTH + lane; e < b * b; e += WIDTH * height)
            rotation[transpose != 0 ? e % b * pitch + e / b : e / b * pitch + e % b] = r.get(rAt + e);
        if (packedX != 0) {
            int halves = b >> 1;
            int xAt = at.get(slot + 1) + (from >> 1);
            for (int e = line * WIDTH + lane; e < 8 * height * (b >> 1); e += WIDTH * height) {
                int to = e / halves * rowPitch + e % halves * 2;
                int two = t0 + e / halves < N ? xPairs.get(xAt + e / halves * (d >> 1) + e % halves) : 0;
                rows[to] = low(two);
                rows[to + 1] = high(two);
            }
        } else {
            int xAt = at.get(slot) + from;
            for (int e = line * WIDTH + lane; e < 8 * height * b; e += WIDTH * height)
                rows[e / b * rowPitch + e % b] = t0 + e / b < N ? x.get(xAt + e / b * d + e % b) : 0f;
        }
        context.localBarrier();
        for (int c = 2 * lane; c < b; c += 8 * WIDTH) {
            float s00 = 0f;
            float s01 = 0f;
            float s02 = 0f;
            float s03 = 0f;
            float s04 = 0f;
            float s05 = 0f;
            float s06 = 0f;
            float s07 = 0f;
            float s10 = 0f;
            float s11 = 0f;
            float s12 = 0f;
            float s13 = 0f;
            float s14 = 0f;
            float s15 = 0f;
            float s16 = 0f;
            float s17 = 0f;
            float s20 = 0f;
            float s21 = 0f;
            float s22 = 0f;
            float s23 = 0f;
            float s24 = 0f;
            float s25 = 0f;
            float s26 = 0f;
            float s27 = 0f;
            float s30 = 0f;
            float s31 = 0f;
            float s32 = 0f;
            float s33 = 0f;
            float s34 = 0f;
            float s35 = 0f;
            float s36 = 0f;
            float s37 = 0f;
            float s40 = 0f;
            float s41 = 0f;
            float s42 = 0f;
            float s43 = 0f;
            float s44 = 0f;
            float s45 = 0f;
            float s46 = 0f;
            float s47 = 0f;
            float s50 = 0f;
            float s51 = 0f;
            float s52 = 0f;
            float s53 = 0f;
            float s54 = 0f;
            float s55 = 0f;
            float s56 = 0f;
            float s57 = 0f;
            float s60 = 0f;
            float s61 = 0f;
            float s62 = 0f;
            float s63 = 0f;
            float s64 = 0f;
            float s65 = 0f;
            float s66 = 0f;
            float s67 = 0f;
            float s70 = 0f;
            float s71 = 0f;
            float s72 = 0f;
            float s73 = 0f;
            float s74 = 0f;
            float s75 = 0f;
            float s76 = 0f;
            float s77 = 0f;
            for (int k = 0; k < b; k++) {
                float x0 = rows[line * rowPitch + k];
                float x1 = rows[(line + height) * rowPitch + k];
                float x2 = rows[(line + 2 * height) * rowPitch + k];
                float x3 = rows[(line + 3 * height) * rowPitch + k];
                float x4 = rows[(line + 4 * height) * rowPitch + k];
                float x5 = rows[(line + 5 * height) * rowPitch + k];
                float x6 = rows[(line + 6 * height) * rowPitch + k];
                float x7 = rows[(line + 7 * height) * rowPitch + k];
                float r0 = rotation[k * pitch + c];
                float r1 = rotation[k * pitch + c + 1];
                float r2 = rotation[k * pitch + c + 8];
                float r3 = rotation[k * pitch + c + 9];
                float r4 = rotation[k * pitch + c + 16];
                float r5 = rotation[k * pitch + c + 17];
                float r6 = rotation[k * pitch + c + 24];
                float r7 = rotation[k * pitch + c + 25];
                s00 += x0 * r0;
                s01 += x0 * r1;
                s02 += x0 * r2;
                s03 += x0 * r3;
                s04 += x0 * r4;
                s05 += x0 * r5;
                s06 += x0 * r6;
                s07 += x0 * r7;
                s10 += x1 * r0;
                s11 += x1 * r1;
                s12 += x1 * r2;
                s13 += x1 * r3;
                s14 += x1 * r4;
                s15 += x1 * r5;
                s16 += x1 * r6;
                s17 += x1 * r7;
                s20 += x2 * r0;
                s21 += x2 * r1;
                s22 += x2 * r2;
                s23 += x2 * r3;
                s24 += x2 * r4;
                s25 += x2 * r5;
                s26 += x2 * r6;
                s27 += x2 * r7;
                s30 += x3 * r0;
                s31 += x3 * r1;
                s32 += x3 * r2;
                s33 += x3 * r3;
                s34 += x3 * r4;
                s35 += x3 * r5;
                s36 += x3 * r6;
                s37 += x3 * r7;
                s40 += x4 * r0;
                s41 += x4 * r1;
                s42 += x4 * r2;
                s43 += x4 * r3;
                s44 += x4 * r4;
                s45 += x4 * r5;
                s46 += x4 * r6;
                s47 += x4 * r7;
                s50 += x5 * r0;
                s51 += x5 * r1;
                s52 += x5 * r2;
                s53 += x5 * r3;
                s54 += x5 * r4;
                s55 += x5 * r5;
                s56 += x5 * r6;
                s57 += x5 * r7;
                s60 += x6 * r0;
                s61 += x6 * r1;
                s62 += x6 * r2;
                s63 += x6 * r3;
                s64 += x6 * r4;
                s65 += x6 * r5;
                s66 += x6 * r6;
                s67 += x6 * r7;
                s70 += x7 * r0;
                s71 += x7 * r1;
                s72 += x7 * r2;
                s73 += x7 * r3;
                s74 += x7 * r4;
                s75 += x7 * r5;
                s76 += x7 * r6;
                s77 += x7 * r7;
            }
            int t = t0 + line;
            int row = t * d + block * b;
            put(y, yAt, pairs, pairsAt, row, c, t < N ? b : 0, s00, s01, s02, s03, s04, s05, s06,
                    s07, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + height * d, c, t + height < N ? b : 0, s10, s11, s12, s13, s14, s15, s16,
                    s17, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 2 * height * d, c, t + 2 * height < N ? b : 0, s20, s21, s22, s23, s24,
                    s25, s26,
                    s27, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 3 * height * d, c, t + 3 * height < N ? b : 0, s30, s31, s32, s33, s34,
                    s35, s36,
                    s37, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 4 * height * d, c, t + 4 * height < N ? b : 0, s40, s41, s42, s43, s44,
                    s45, s46,
                    s47, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 5 * height * d, c, t + 5 * height < N ? b : 0, s50, s51, s52, s53, s54,
                    s55, s56,
                    s57, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 6 * height * d, c, t + 6 * height < N ? b : 0, s60, s61, s62, s63, s64,
                    s65, s66,
                    s67, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 7 * height * d, c, t + 7 * height < N ? b : 0, s70, s71, s72, s73, s74,
                    s75, s76,
                    s77, packedY, accumulate);
        }
    }

    /// Number i of an array of floats or of pairs.
    private static float number(FloatArray x, int xAt, IntArray pairs, int pairsAt, int i, int packed) {
        float v;
        if (packed != 0) {
            int two = pairs.get(pairsAt + (i >> 1));
            v = (i & 1) == 0 ? low(two) : high(two);
        } else
            v = x.get(xAt + i);
        return v;
    }

    /// [RotateTileKernels#rotateGradTile] in `SLICES parts` parts: the items of a work group are as many times those that a tile
    /// needs, and each time take every SLICES-th row.
    static void rotateGradPairs(KernelContext context, IntArray at, int slot, FloatArray x, IntArray xPairs,
            FloatArray dY, IntArray dYPairs, FloatArray dR, int N, int d, int b, int tiles, int parts, int packedX,
            int packedY) {
        float[] tileX = context.allocateFloatLocalArray(TILE * PITCH);
        float[] tileY = context.allocateFloatLocalArray(TILE * PITCH);
        int item = context.localIdy * WIDTH + context.localIdx;
        int left = 8 * (context.localIdy & 3);
        int right = 8 * context.localIdx;
        int slice = context.localIdy >> 2;
        int block = context.groupIdx / (tiles * tiles);
        int k0 = context.groupIdx / tiles % tiles * TILE;
        int c0 = context.groupIdx % tiles * TILE;
        int part = context.groupIdy;
        float s00 = 0f;
        float s01 = 0f;
        float s02 = 0f;
        float s03 = 0f;
        float s04 = 0f;
        float s05 = 0f;
        float s06 = 0f;
        float s07 = 0f;
        float s10 = 0f;
        float s11 = 0f;
        float s12 = 0f;
        float s13 = 0f;
        float s14 = 0f;
        float s15 = 0f;
        float s16 = 0f;
        float s17 = 0f;
        float s20 = 0f;
        float s21 = 0f;
        float s22 = 0f;
        float s23 = 0f;
        float s24 = 0f;
        float s25 = 0f;
        float s26 = 0f;
        float s27 = 0f;
        float s30 = 0f;
        float s31 = 0f;
        float s32 = 0f;
        float s33 = 0f;
        float s34 = 0f;
        float s35 = 0f;
        float s36 = 0f;
        float s37 = 0f;
        float s40 = 0f;
        float s41 = 0f;
        float s42 = 0f;
        float s43 = 0f;
        float s44 = 0f;
        float s45 = 0f;
        float s46 = 0f;
        float s47 = 0f;
        float s50 = 0f;
        float s51 = 0f;
        float s52 = 0f;
        float s53 = 0f;
        float s54 = 0f;
        float s55 = 0f;
        float s56 = 0f;
        float s57 = 0f;
        float s60 = 0f;
        float s61 = 0f;
        float s62 = 0f;
        float s63 = 0f;
        float s64 = 0f;
        float s65 = 0f;
        float s66 = 0f;
        float s67 = 0f;
        float s70 = 0f;
        float s71 = 0f;
        float s72 = 0f;
        float s73 = 0f;
        float s74 = 0f;
        float s75 = 0f;
        float s76 = 0f;
        float s77 = 0f;
        for (int t0 = part * TILE; t0 < N; t0 += parts * TILE) {
            for (int e = item; e < TILE * TILE; e += 4 * WIDTH * SLICES) {
                int t = e >> 5;
                int f = e & 31;
                int row = (t0 + t) * d + block * b;
                tileX[t * PITCH + f] = t0 + t < N && k0 + f < b
                        ? number(x, at.get(slot), xPairs, at.get(slot + 1), row + k0 + f, packedX) : 0f;
                tileY[t * PITCH + f] = t0 + t < N && c0 + f < b
                        ? number(dY, at.get(slot + 2), dYPairs, at.get(slot + 3), row + c0 + f, packedY) : 0f;
            }
            context.localBarrier();
            for (int t = slice; t < TILE; t += SLICES) {
                float x0 = tileX[t * PITCH + left];
                float x1 = tileX[t * PITCH + left + 1];
                float x2 = tileX[t * PITCH + left + 2];
                float x3 = tileX[t * PITCH + left + 3];
                float x4 = tileX[t * PITCH + left + 4];
                float x5 = tileX[t * PITCH + left + 5];
                float x6 = tileX[t * PITCH + left + 6];
                float x7 = tileX[t * PITCH + left + 7];
                float y0 = tileY[t * PITCH + right];
                float y1 = tileY[t * PITCH + right + 1];
                float y2 = tileY[t * PITCH + right + 2];
                float y3 = tileY[t * PITCH + right + 3];
                float y4 = tileY[t * PITCH + right + 4];
                float y5 = tileY[t * PITCH + right + 5];
                float y6 = tileY[t * PITCH + right + 6];
                float y7 = tileY[t * PITCH + right + 7];
                s00 += x0 * y0;
                s01 += x0 * y1;
                s02 += x0 * y2;
                s03 += x0 * y3;
                s04 += x0 * y4;
                s05 += x0 * y5;
                s06 += x0 * y6;
                s07 += x0 * y7;
                s10 += x1 * y0;
                s11 += x1 * y1;
                s12 += x1 * y2;
                s13 += x1 * y3;
                s14 += x1 * y4;
                s15 += x1 * y5;
                s16 += x1 * y6;
                s17 += x1 * y7;
                s20 += x2 * y0;
                s21 += x2 * y1;
                s22 += x2 * y2;
                s23 += x2 * y3;
                s24 += x2 * y4;
                s25 += x2 * y5;
                s26 += x2 * y6;
                s27 += x2 * y7;
                s30 += x3 * y0;
                s31 += x3 * y1;
                s32 += x3 * y2;
                s33 += x3 * y3;
                s34 += x3 * y4;
                s35 += x3 * y5;
                s36 += x3 * y6;
                s37 += x3 * y7;
                s40 += x4 * y0;
                s41 += x4 * y1;
                s42 += x4 * y2;
                s43 += x4 * y3;
                s44 += x4 * y4;
                s45 += x4 * y5;
                s46 += x4 * y6;
                s47 += x4 * y7;
                s50 += x5 * y0;
                s51 += x5 * y1;
                s52 += x5 * y2;
                s53 += x5 * y3;
                s54 += x5 * y4;
                s55 += x5 * y5;
                s56 += x5 * y6;
                s57 += x5 * y7;
                s60 += x6 * y0;
                s61 += x6 * y1;
                s62 += x6 * y2;
                s63 += x6 * y3;
                s64 += x6 * y4;
                s65 += x6 * y5;
                s66 += x6 * y6;
                s67 += x6 * y7;
                s70 += x7 * y0;
                s71 += x7 * y1;
                s72 += x7 * y2;
                s73 += x7 * y3;
                s74 += x7 * y4;
                s75 += x7 * y5;
                s76 += x7 * y6;
                s77 += x7 * y7;
            }
            context.localBarrier();
        }
        int k = k0 + left;
        int c = c0 + right;
        int row = at.get(slot + 4) + (part * SLICES + slice) * d * b + (block * b + k) * b;
        put(dR, row, c, k < b ? b : 0, s00, s01, s02, s03, s04, s05, s06, s07);
        put(dR, row + b, c, k + 1 < b ? b : 0, s10, s11, s12, s13, s14, s15, s16, s17);
        put(dR, row + 2 * b, c, k + 2 < b ? b : 0, s20, s21, s22, s23, s24, s25, s26, s27);
        put(dR, row + 3 * b, c, k + 3 < b ? b : 0, s30, s31, s32, s33, s34, s35, s36, s37);
        put(dR, row + 4 * b, c, k + 4 < b ? b : 0, s40, s41, s42, s43, s44, s45, s46, s47);
        put(dR, row + 5 * b, c, k + 5 < b ? b : 0, s50, s51, s52, s53, s54, s55, s56, s57);
        put(dR, row + 6 * b, c, k + 6 < b ? b : 0, s60, s61, s62, s63, s64, s65, s66, s67);
        put(dR, row + 7 * b, c, k + 7 < b ? b : 0, s70, s71, s72, s73, s74, s75, s76, s77);
    }

    private static void put(FloatArray y, int row, int c, int width, float v0, float v1, float v2, float v3, float v4,
            float v5, float v6, float v7) {
        put(y, row, c, width, v0, v1, v2, v3);
        put(y, row, c + 4, width, v4, v5, v6, v7);
    }

    private static void put(FloatArray y, int row, int c, int width, float v0, float v1, float v2, float v3) {
        if (c < width)
            y.set(row + c, v0);
        if (c + 1 < width)
            y.set(row + c + 1, v1);
        if (c + 2 < width)
            y.set(row + c + 2, v2);
        if (c + 3 < width)
            y.set(row + c + 3, v3);
    }
}
