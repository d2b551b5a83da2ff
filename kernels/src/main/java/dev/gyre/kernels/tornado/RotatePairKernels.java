package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ElementPairKernels.high;
import static dev.gyre.kernels.tornado.ElementPairKernels.low;
import static dev.gyre.kernels.tornado.ElementPairKernels.pair;
import static dev.gyre.kernels.tornado.RotateTileKernels.HEIGHT;
import static dev.gyre.kernels.tornado.RotateTileKernels.ROWS;
import static dev.gyre.kernels.tornado.RotateTileKernels.SIDE;
import static dev.gyre.kernels.tornado.RotateTileKernels.TILE;
import static dev.gyre.kernels.tornado.RotateTileKernels.WIDTH;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [RotateTileKernels] of activations in BF16: each of them is a FloatArray or pairs in an IntArray; the other one of the two is
/// not touched. Blocks have an even number of features.
final class RotatePairKernels {
    private static final int PITCH = TILE + 1;

    private RotatePairKernels() {
    }

    /// Whether rotations of such blocks are computed here.
    static boolean takes(int b) {
        return (b & 1) == 0 && b <= RotateTileKernels.MAX_BLOCK;
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
            float v1, float v2, float v3, int packed, int accumulate) {
        if (c < width)
            put(y, yAt, pairs, pairsAt, row + c, v0, v1, packed, accumulate);
        if (c + 2 * WIDTH < width)
            put(y, yAt, pairs, pairsAt, row + c + 2 * WIDTH, v2, v3, packed, accumulate);
    }

    /// [RotateTileKernels#rotateRows]; an item has adjacent columns, two and two.
    static void rotatePairs(KernelContext context, IntArray at, int slot, FloatArray x, IntArray xPairs, FloatArray r,
            FloatArray y, IntArray pairs, int N, int d, int b, int stored, int transpose, int packedX, int packedY,
            int accumulate) {
        int pitch = (b + 31 & ~31) + 1;
        int rowPitch = b | 1;
        float[] rotation = context.allocateFloatLocalArray(b * pitch);
        float[] rows = context.allocateFloatLocalArray(ROWS * rowPitch);
        int lane = context.localIdx;
        int line = context.localIdy;
        int block = context.groupIdx;
        int t0 = context.groupIdy * ROWS;
        int rAt = at.get(slot + 2) + (stored == 1 ? 0 : block * b * b);
        int yAt = at.get(slot + 3);
        int pairsAt = at.get(slot + 4);
        int from = t0 * d + block * b;
        for (int e = line * WIDTH + lane; e < b * b; e += WIDTH * HEIGHT)
            rotation[transpose != 0 ? e % b * pitch + e / b : e / b * pitch + e % b] = r.get(rAt + e);
        if (packedX != 0) {
            int halves = b >> 1;
            int xAt = at.get(slot + 1) + (from >> 1);
            for (int e = line * WIDTH + lane; e < ROWS * (b >> 1); e += WIDTH * HEIGHT) {
                int to = e / halves * rowPitch + e % halves * 2;
                int two = t0 + e / halves < N ? xPairs.get(xAt + e / halves * (d >> 1) + e % halves) : 0;
                rows[to] = low(two);
                rows[to + 1] = high(two);
            }
        } else {
            int xAt = at.get(slot) + from;
            for (int e = line * WIDTH + lane; e < ROWS * b; e += WIDTH * HEIGHT)
                rows[e / b * rowPitch + e % b] = t0 + e / b < N ? x.get(xAt + e / b * d + e % b) : 0f;
        }
        context.localBarrier();
        for (int c = 2 * lane; c < b; c += 4 * WIDTH) {
            float s00 = 0f;
            float s01 = 0f;
            float s02 = 0f;
            float s03 = 0f;
            float s10 = 0f;
            float s11 = 0f;
            float s12 = 0f;
            float s13 = 0f;
            float s20 = 0f;
            float s21 = 0f;
            float s22 = 0f;
            float s23 = 0f;
            float s30 = 0f;
            float s31 = 0f;
            float s32 = 0f;
            float s33 = 0f;
            for (int k = 0; k < b; k++) {
                float x0 = rows[line * rowPitch + k];
                float x1 = rows[(line + HEIGHT) * rowPitch + k];
                float x2 = rows[(line + 2 * HEIGHT) * rowPitch + k];
                float x3 = rows[(line + 3 * HEIGHT) * rowPitch + k];
                float r0 = rotation[k * pitch + c];
                float r1 = rotation[k * pitch + c + 1];
                float r2 = rotation[k * pitch + c + 2 * WIDTH];
                float r3 = rotation[k * pitch + c + 2 * WIDTH + 1];
                s00 += x0 * r0;
                s01 += x0 * r1;
                s02 += x0 * r2;
                s03 += x0 * r3;
                s10 += x1 * r0;
                s11 += x1 * r1;
                s12 += x1 * r2;
                s13 += x1 * r3;
                s20 += x2 * r0;
                s21 += x2 * r1;
                s22 += x2 * r2;
                s23 += x2 * r3;
                s30 += x3 * r0;
                s31 += x3 * r1;
                s32 += x3 * r2;
                s33 += x3 * r3;
            }
            int t = t0 + line;
            int row = t * d + block * b;
            put(y, yAt, pairs, pairsAt, row, c, t < N ? b : 0, s00, s01, s02, s03, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + HEIGHT * d, c, t + HEIGHT < N ? b : 0, s10, s11, s12, s13, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 2 * HEIGHT * d, c, t + 2 * HEIGHT < N ? b : 0, s20, s21, s22, s23, packedY, accumulate);
            put(y, yAt, pairs, pairsAt, row + 3 * HEIGHT * d, c, t + 3 * HEIGHT < N ? b : 0, s30, s31, s32, s33, packedY, accumulate);
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

    /// [RotateTileKernels#rotateGradTile].
    static void rotateGradPairs(KernelContext context, IntArray at, int slot, FloatArray x, IntArray xPairs,
            FloatArray dY, IntArray dYPairs, FloatArray dR, int N, int d, int b, int tiles, int parts, int packedX,
            int packedY) {
        float[] tileX = context.allocateFloatLocalArray(TILE * PITCH);
        float[] tileY = context.allocateFloatLocalArray(TILE * PITCH);
        int lane = context.localIdx;
        int line = context.localIdy;
        int block = context.groupIdx / (tiles * tiles);
        int k0 = context.groupIdx / tiles % tiles * TILE;
        int c0 = context.groupIdx % tiles * TILE;
        int part = context.groupIdy;
        float s00 = 0f;
        float s01 = 0f;
        float s02 = 0f;
        float s03 = 0f;
        float s10 = 0f;
        float s11 = 0f;
        float s12 = 0f;
        float s13 = 0f;
        float s20 = 0f;
        float s21 = 0f;
        float s22 = 0f;
        float s23 = 0f;
        float s30 = 0f;
        float s31 = 0f;
        float s32 = 0f;
        float s33 = 0f;
        for (int t0 = part * TILE; t0 < N; t0 += parts * TILE) {
            for (int e = line * SIDE + lane; e < TILE * TILE; e += SIDE * SIDE) {
                int t = e >> 5;
                int f = e & 31;
                int row = (t0 + t) * d + block * b;
                tileX[t * PITCH + f] = t0 + t < N && k0 + f < b
                        ? number(x, at.get(slot), xPairs, at.get(slot + 1), row + k0 + f, packedX) : 0f;
                tileY[t * PITCH + f] = t0 + t < N && c0 + f < b
                        ? number(dY, at.get(slot + 2), dYPairs, at.get(slot + 3), row + c0 + f, packedY) : 0f;
            }
            context.localBarrier();
            for (int t = 0; t < TILE; t++) {
                float x0 = tileX[t * PITCH + line];
                float x1 = tileX[t * PITCH + line + SIDE];
                float x2 = tileX[t * PITCH + line + 2 * SIDE];
                float x3 = tileX[t * PITCH + line + 3 * SIDE];
                float y0 = tileY[t * PITCH + lane];
                float y1 = tileY[t * PITCH + lane + SIDE];
                float y2 = tileY[t * PITCH + lane + 2 * SIDE];
                float y3 = tileY[t * PITCH + lane + 3 * SIDE];
                s00 += x0 * y0;
                s01 += x0 * y1;
                s02 += x0 * y2;
                s03 += x0 * y3;
                s10 += x1 * y0;
                s11 += x1 * y1;
                s12 += x1 * y2;
                s13 += x1 * y3;
                s20 += x2 * y0;
                s21 += x2 * y1;
                s22 += x2 * y2;
                s23 += x2 * y3;
                s30 += x3 * y0;
                s31 += x3 * y1;
                s32 += x3 * y2;
                s33 += x3 * y3;
            }
            context.localBarrier();
        }
        int k = k0 + line;
        int c = c0 + lane;
        int row = at.get(slot + 4) + part * d * b + (block * b + k) * b;
        RotateTileKernels.put(dR, row, c, SIDE, k < b ? b : 0, s00, s01, s02, s03, 0);
        RotateTileKernels.put(dR, row + SIDE * b, c, SIDE, k + SIDE < b ? b : 0, s10, s11, s12, s13, 0);
        RotateTileKernels.put(dR, row + 2 * SIDE * b, c, SIDE, k + 2 * SIDE < b ? b : 0, s20, s21, s22, s23, 0);
        RotateTileKernels.put(dR, row + 3 * SIDE * b, c, SIDE, k + 3 * SIDE < b ? b : 0, s30, s31, s32, s33, 0);
    }
}
