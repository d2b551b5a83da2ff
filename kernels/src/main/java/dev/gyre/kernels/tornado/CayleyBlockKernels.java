package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The polynomials of [CayleyKernels] for GPUs: a work group of 16 x 16 items keeps a block's Q and the two matrices of a step
/// in local memory through all steps. An item computes 2 x 2 elements of a product at a time (all of its share where b is at
/// most 32). Items beyond the last row or column repeat the last one, with the same result. No pitch is needed: a row of
/// items reads adjacent elements of one matrix and one element of the other. `at` also holds b and p: as constants they
/// would make TornadoVM unroll the loops. With `packed`, q is the parameter in packed form, and the gradient is added to the
/// parameter's.
final class CayleyBlockKernels {
    /// Items along each side of a work group.
    static final int SIDE = 16;
    /// Largest block of which three matrices fit 48 KiB.
    static final int MAX_BLOCK = 64;

    private CayleyBlockKernels() {
    }

    /// Where element i, j above the diagonal of a block is among the packed ones.
    private static int stored(int block, int i, int j, int b) {
        return block * (b * (b - 1) >> 1) + i * b - (i * (i + 1) >> 1) + j - i - 1;
    }

    /// Element e of a block of Q: of whole blocks, or as [CayleyKernels#skewOfPacked] has it.
    private static float element(FloatArray q, int qAt, int block, int e, int b, int packed) {
        float v;
        if (packed == 0)
            v = q.get(qAt + block * b * b + e);
        else {
            int i = e / b;
            int j = e % b;
            int lo = TornadoMath.min(i, j);
            int hi = TornadoMath.max(i, j);
            float x = lo == hi ? 0f : q.get(qAt + TornadoMath.max(stored(block, lo, hi, b), 0));
            v = i < j ? x : -x;
        }
        return v;
    }

    /// [CayleyKernels#polynomialRows] for blocks of b x b = size elements.
    static void polynomialBlock(KernelContext context, IntArray at, int slot, FloatArray q, FloatArray r, int size,
            float last, int packed) {
        int qAt = at.get(slot);
        int rAt = at.get(slot + 1);
        int b = at.get(slot + 2);
        int p = at.get(slot + 3);
        float[] own = context.allocateFloatLocalArray(size);
        float[] x = context.allocateFloatLocalArray(2 * size);
        int lane = context.localIdx;
        int line = context.localIdy;
        int block = context.groupIdx * size;
        for (int e = line * SIDE + lane; e < size; e += SIDE * SIDE) {
            float v = element(q, qAt, context.groupIdx, e, b, packed);
            own[e] = v;
            x[e] = last * v + (e / b == e % b ? 2f : 0f);
        }
        context.localBarrier();
        for (int s = 2; s <= p; s++) {
            int from = (s & 1) * size;
            int to = size - from;
            float one = s == p ? 1f : 2f;
            for (int i = line; i < b; i += 2 * SIDE)
                for (int j = lane; j < b; j += 2 * SIDE) {
                    int i1 = TornadoMath.min(i + SIDE, b - 1);
                    int j1 = TornadoMath.min(j + SIDE, b - 1);
                    float s00 = 0f;
                    float s01 = 0f;
                    float s10 = 0f;
                    float s11 = 0f;
                    for (int k = 0; k < b; k++) {
                        float x0 = x[from + i * b + k];
                        float x1 = x[from + i1 * b + k];
                        float q0 = own[k * b + j];
                        float q1 = own[k * b + j1];
                        s00 += x0 * q0;
                        s01 += x0 * q1;
                        s10 += x1 * q0;
                        s11 += x1 * q1;
                    }
                    x[to + i * b + j] = s00 + (i == j ? one : 0f);
                    x[to + i * b + j1] = s01 + (i == j1 ? one : 0f);
                    x[to + i1 * b + j] = s10 + (i1 == j ? one : 0f);
                    x[to + i1 * b + j1] = s11 + (i1 == j1 ? one : 0f);
                }
            context.localBarrier();
        }
        int result = (1 - (p & 1)) * size;
        for (int e = line * SIDE + lane; e < size; e += SIDE * SIDE)
            r.set(rAt + block + e, x[result + e]);
    }

    /// [CayleyKernels#polynomialGradRows] and [CayleyKernels#polynomialGradColumns]. The matrices A are kept in a (p, blocks, b, b);
    /// each element is read by the item that wrote it.
    static void polynomialGradBlock(KernelContext context, IntArray at, int slot, FloatArray q, FloatArray dR,
            FloatArray a, FloatArray dQ, int blocks, int size, float last, int packed) {
        int qAt = at.get(slot);
        int dRAt = at.get(slot + 1);
        int aAt = at.get(slot + 2);
        int dQAt = at.get(slot + 3);
        int b = at.get(slot + 4);
        int p = at.get(slot + 5);
        float[] own = context.allocateFloatLocalArray(size);
        float[] x = context.allocateFloatLocalArray(2 * size);
        int lane = context.localIdx;
        int line = context.localIdy;
        int block = context.groupIdx * size;
        for (int e = line * SIDE + lane; e < size; e += SIDE * SIDE) {
            own[e] = element(q, qAt, context.groupIdx, e, b, packed);
            x[e] = last * dR.get(dRAt + block + e);
        }
        context.localBarrier();
        for (int s = 1; s < p; s++) {
            int from = (1 - (s & 1)) * size;
            int to = size - from;
            for (int i = line; i < b; i += 2 * SIDE)
                for (int j = lane; j < b; j += 2 * SIDE) {
                    int i1 = TornadoMath.min(i + SIDE, b - 1);
                    int j1 = TornadoMath.min(j + SIDE, b - 1);
                    float s00 = 0f;
                    float s01 = 0f;
                    float s10 = 0f;
                    float s11 = 0f;
                    for (int k = 0; k < b; k++) {
                        float x0 = x[from + i * b + k];
                        float x1 = x[from + i1 * b + k];
                        float q0 = own[k * b + j];
                        float q1 = own[k * b + j1];
                        s00 += x0 * q0;
                        s01 += x0 * q1;
                        s10 += x1 * q0;
                        s11 += x1 * q1;
                    }
                    x[to + i * b + j] = -s00;
                    x[to + i * b + j1] = -s01;
                    x[to + i1 * b + j] = -s10;
                    x[to + i1 * b + j1] = -s11;
                }
            context.localBarrier();
            for (int e = line * SIDE + lane; e < size; e += SIDE * SIDE) {
                float v = 2f * dR.get(dRAt + block + e) + x[to + e];
                x[to + e] = v;
                a.set(aAt + s * blocks * size + block + e, v);
            }
            context.localBarrier();
        }
        for (int e = line * SIDE + lane; e < size; e += SIDE * SIDE)
            x[e] = last * dR.get(dRAt + block + e);
        context.localBarrier();
        for (int s = 1; s < p; s++) {
            int from = (1 - (s & 1)) * size;
            int to = size - from;
            for (int i = line; i < b; i += 2 * SIDE)
                for (int j = lane; j < b; j += 2 * SIDE) {
                    int i1 = TornadoMath.min(i + SIDE, b - 1);
                    int j1 = TornadoMath.min(j + SIDE, b - 1);
                    float s00 = 0f;
                    float s01 = 0f;
                    float s10 = 0f;
                    float s11 = 0f;
                    for (int k = 0; k < b; k++) {
                        float q0 = own[i * b + k];
                        float q1 = own[i1 * b + k];
                        float x0 = x[from + k * b + j];
                        float x1 = x[from + k * b + j1];
                        s00 += q0 * x0;
                        s01 += q0 * x1;
                        s10 += q1 * x0;
                        s11 += q1 * x1;
                    }
                    x[to + i * b + j] = -s00;
                    x[to + i * b + j1] = -s01;
                    x[to + i1 * b + j] = -s10;
                    x[to + i1 * b + j1] = -s11;
                }
            context.localBarrier();
            for (int e = line * SIDE + lane; e < size; e += SIDE * SIDE)
                x[to + e] = x[to + e] + a.get(aAt + s * blocks * size + block + e);
            context.localBarrier();
        }
        int result = (1 - (p & 1)) * size;
        for (int e = line * SIDE + lane; e < size; e += SIDE * SIDE) {
            int i = e / b;
            int j = e % b;
            if (packed == 0)
                dQ.set(dQAt + block + e, x[result + e]);
            else
                if (i < j) {
                    int k = dQAt + stored(context.groupIdx, i, j, b);
                    dQ.set(k, dQ.get(k) + x[result + e] - x[result + j * b + i]);
                }
        }
    }
}
