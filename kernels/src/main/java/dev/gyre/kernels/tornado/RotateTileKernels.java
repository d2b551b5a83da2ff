package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [RotateKernels] for GPUs: a matrix product for each block, whose b is far too small for the tiles of
/// [ProductTileKernels]. Each item has 4 x 4 results in registers, so that two reads of local memory feed four
/// multiply-adds; an odd pitch puts adjacent rows in different banks.
final class RotateTileKernels {
    /// Items of a work group of [#rotateRows].
    static final int WIDTH = 8;
    static final int HEIGHT = 16;
    /// Rows of x for a work group.
    static final int ROWS = 4 * HEIGHT;
    /// Largest block whose rotation fits in local memory together with the rows.
    static final int MAX_BLOCK = 64;
    /// Items along each side of a work group of [#rotateGradTile], and elements of dR along each side of its tile.
    static final int SIDE = 8;
    static final int TILE = 4 * SIDE;
    private static final int PITCH = TILE + 1;

    private RotateTileKernels() {
    }

    private static void put(FloatArray y, int row, int c, int width, float value, int accumulate) {
        if (c < width)
            y.set(row + c, accumulate != 0 ? y.get(row + c) + value : value);
    }

    private static void put(FloatArray y, int row, int c, int step, int width, float v0, float v1, float v2, float v3,
            int accumulate) {
        put(y, row, c, width, v0, accumulate);
        put(y, row, c + step, width, v1, accumulate);
        put(y, row, c + 2 * step, width, v2, accumulate);
        put(y, row, c + 3 * step, width, v3, accumulate);
    }

    /// [RotateKernels#blockRotate] and, with `transpose`, [RotateKernels#blockRotateBack]: a work group takes one block of 64
    /// rows, with the block's rotation in local memory. Results beyond the last column or row are computed from
    /// arbitrary values and not stored.
    static void rotateRows(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray r, FloatArray y,
            int N, int d, int b, int stored, int transpose, int accumulate) {
        int pitch = (b + 31 & ~31) + 1;
        int rowPitch = b | 1;
        float[] rotation = context.allocateFloatLocalArray(b * pitch);
        float[] rows = context.allocateFloatLocalArray(ROWS * rowPitch);
        int lane = context.localIdx;
        int line = context.localIdy;
        int block = context.groupIdx;
        int t0 = context.groupIdy * ROWS;
        int rAt = at.get(slot + 1) + (stored == 1 ? 0 : block * b * b);
        int xAt = at.get(slot) + t0 * d + block * b;
        for (int e = line * WIDTH + lane; e < b * b; e += WIDTH * HEIGHT)
            rotation[transpose != 0 ? e % b * pitch + e / b : e / b * pitch + e % b] = r.get(rAt + e);
        for (int e = line * WIDTH + lane; e < ROWS * b; e += WIDTH * HEIGHT)
            rows[e / b * rowPitch + e % b] = t0 + e / b < N ? x.get(xAt + e / b * d + e % b) : 0f;
        context.localBarrier();
        for (int c = lane; c < b; c += 4 * WIDTH) {
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
                float r1 = rotation[k * pitch + c + WIDTH];
                float r2 = rotation[k * pitch + c + 2 * WIDTH];
                float r3 = rotation[k * pitch + c + 3 * WIDTH];
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
            int row = at.get(slot + 2) + t * d + block * b;
            put(y, row, c, WIDTH, t < N ? b : 0, s00, s01, s02, s03, accumulate);
            put(y, row + HEIGHT * d, c, WIDTH, t + HEIGHT < N ? b : 0, s10, s11, s12, s13, accumulate);
            put(y, row + 2 * HEIGHT * d, c, WIDTH, t + 2 * HEIGHT < N ? b : 0, s20, s21, s22, s23, accumulate);
            put(y, row + 3 * HEIGHT * d, c, WIDTH, t + 3 * HEIGHT < N ? b : 0, s30, s31, s32, s33, accumulate);
        }
    }

    /// Part `groupIdy` of [RotateKernels#blockRotateGrad] into dR (parts, d/b, b, b): the rows of x and dY are distributed over
    /// the parts 32 at a time. A work group takes a tile of 32 x 32 elements of one block, `tiles` of them along a block's side.
    static void rotateGradTile(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray dY, FloatArray dR,
            int N, int d, int b, int tiles, int parts) {
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
                tileX[t * PITCH + f] = t0 + t < N && k0 + f < b ? x.get(at.get(slot) + row + k0 + f) : 0f;
                tileY[t * PITCH + f] = t0 + t < N && c0 + f < b ? dY.get(at.get(slot + 1) + row + c0 + f) : 0f;
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
        int row = at.get(slot + 2) + part * d * b + (block * b + k) * b;
        put(dR, row, c, SIDE, k < b ? b : 0, s00, s01, s02, s03, 0);
        put(dR, row + SIDE * b, c, SIDE, k + SIDE < b ? b : 0, s10, s11, s12, s13, 0);
        put(dR, row + 2 * SIDE * b, c, SIDE, k + 2 * SIDE < b ? b : 0, s20, s21, s22, s23, 0);
        put(dR, row + 3 * SIDE * b, c, SIDE, k + 3 * SIDE < b ? b : 0, s30, s31, s32, s33, 0);
    }
}
