package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.AttentionKernels.firstKey;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [AttentionKernels] for GPUs. A work group of 16 x 16 items has 32 queries (or, for dK and dV, 32 keys) of one head and goes
/// over the keys (queries) that they see, 32 at a time, which come through local memory. An item computes 2 x 2 of the
/// 32 x 32 scores, in registers; they meet in local memory too, and then it multiplies them with every 16th feature of
/// two rows of the result, four at a time in registers. Each element of the result belongs to one item from the first to
/// the last tile and is kept in the output array, that is in the cache; so head dimensions of up to 128 leave local memory
/// for several work groups.
///
/// Adjacent items read adjacent features, so reads are coalesced. The odd pitch of the tiles puts rows in different banks;
/// values that all items of a row need are broadcast. The pitch has room for four features per item; the surplus is never
/// stored. The longest work groups come first. `at` also holds D and the length of a tile, for the inner loops: as constants
/// they would make TornadoVM unroll the loops, and an item would need three times the registers.
final class AttentionTileKernels {
    /// Items along each side of a work group.
    static final int SIDE = 16;
    /// Queries and keys of a tile.
    static final int TILE = 32;
    /// Largest head dimension whose tiles fit 48 KiB; items of a work group and keys of a tile where queries are few.
    static final int MAX_D = 128;
    private static final int SCORES = TILE + 1;
    private static final float NONE = -1e30f;

    private AttentionTileKernels() {
    }

    private static int pitch(int D) {
        return (D + 63 & ~63) + 1;
    }

    /// Multiplies element c of a result's row by `keep` and adds `value`; rows outside the matrix have `width` 0.
    private static void put(FloatArray to, int row, int c, int width, float keep, float value) {
        if (c < width) {
            float old = keep != 0f ? keep * to.get(row + c) : 0f;
            to.set(row + c, old + value);
        }
    }

    /// [AttentionKernels#attend]
    static void attendTile(KernelContext context, IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v,
            IntArray start, FloatArray out, FloatArray lse, int T, int H, int KV, int D, float scale, int window) {
        int pitch = pitch(D);
        int features = at.get(slot + 6);
        int length = at.get(slot + 7);
        float[] own = context.allocateFloatLocalArray(TILE * pitch);
        float[] tile = context.allocateFloatLocalArray(TILE * pitch);
        float[] scores = context.allocateFloatLocalArray(TILE * SCORES);
        int x = context.localIdx;
        int y = context.localIdy;
        int i0 = (T - 1 >> 5) - context.groupIdx << 5;
        int h = context.groupIdy % H;
        int row0 = context.groupIdy / H * T;
        int group = h / (H / KV);
        int startAt = at.get(slot + 3) + row0;
        int ia = i0 + y;
        int ib = ia + SIDE;
        int firstA = firstKey(start.get(startAt + TornadoMath.min(ia, T - 1)), ia, window);
        int firstB = firstKey(start.get(startAt + TornadoMath.min(ib, T - 1)), ib, window);
        int low = T - 1;
        for (int r = 0; r < length; r++) {
            int i = TornadoMath.min(i0 + r, T - 1);
            low = TornadoMath.min(low, firstKey(start.get(startAt + i), i, window));
        }
        for (int r = y; r < TILE; r += SIDE)
            for (int c = x; c < D; c += SIDE)
                own[r * pitch + c] =
                        i0 + r < T ? scale * q.get(at.get(slot) + ((row0 + i0 + r) * H + h) * D + c) : 0f;
        int outA = at.get(slot + 4) + ((row0 + ia) * H + h) * D;
        int outB = outA + SIDE * H * D;
        int widthA = ia < T ? D : 0;
        int widthB = ib < T ? D : 0;
        float maxA = NONE;
        float maxB = NONE;
        float sumA = 0f;
        float sumB = 0f;
        for (int j0 = low; j0 < i0 + TILE; j0 += TILE) {
            for (int r = y; r < TILE; r += SIDE)
                for (int c = x; c < D; c += SIDE)
                    tile[r * pitch + c] =
                            j0 + r < T ? k.get(at.get(slot + 1) + ((row0 + j0 + r) * KV + group) * D + c) : 0f;
            context.localBarrier();
            float aa = 0f;
            float ab = 0f;
            float ba = 0f;
            float bb = 0f;
            for (int c = 0; c < features; c++) {
                float qa = own[y * pitch + c];
                float qb = own[(y + SIDE) * pitch + c];
                float ka = tile[x * pitch + c];
                float kb = tile[(x + SIDE) * pitch + c];
                aa += qa * ka;
                ab += qa * kb;
                ba += qb * ka;
                bb += qb * kb;
            }
            int ja = j0 + x;
            int jb = ja + SIDE;
            aa = ja >= firstA && ja <= ia ? aa : NONE;
            ab = jb >= firstA && jb <= ia ? ab : NONE;
            ba = ja >= firstB && ja <= ib ? ba : NONE;
            bb = jb >= firstB && jb <= ib ? bb : NONE;
            scores[y * SCORES + x] = aa;
            scores[y * SCORES + x + SIDE] = ab;
            scores[(y + SIDE) * SCORES + x] = ba;
            scores[(y + SIDE) * SCORES + x + SIDE] = bb;
            context.localBarrier();
            float newA = maxA;
            float newB = maxB;
            for (int j = 0; j < length; j++) {
                newA = TornadoMath.max(newA, scores[y * SCORES + j]);
                newB = TornadoMath.max(newB, scores[(y + SIDE) * SCORES + j]);
            }
            context.localBarrier();
            scores[y * SCORES + x] = aa > NONE ? TornadoMath.exp(aa - newA) : 0f;
            scores[y * SCORES + x + SIDE] = ab > NONE ? TornadoMath.exp(ab - newA) : 0f;
            scores[(y + SIDE) * SCORES + x] = ba > NONE ? TornadoMath.exp(ba - newB) : 0f;
            scores[(y + SIDE) * SCORES + x + SIDE] = bb > NONE ? TornadoMath.exp(bb - newB) : 0f;
            for (int r = y; r < TILE; r += SIDE)
                for (int c = x; c < D; c += SIDE)
                    tile[r * pitch + c] =
                            j0 + r < T ? v.get(at.get(slot + 2) + ((row0 + j0 + r) * KV + group) * D + c) : 0f;
            context.localBarrier();
            float keepA = j0 > low ? TornadoMath.exp(maxA - newA) : 0f;
            float keepB = j0 > low ? TornadoMath.exp(maxB - newB) : 0f;
            float addA = 0f;
            float addB = 0f;
            for (int c = x; c < D; c += 4 * SIDE) {
                float a0 = 0f;
                float a1 = 0f;
                float a2 = 0f;
                float a3 = 0f;
                float b0 = 0f;
                float b1 = 0f;
                float b2 = 0f;
                float b3 = 0f;
                addA = 0f;
                addB = 0f;
                for (int j = 0; j < length; j++) {
                    float pa = scores[y * SCORES + j];
                    float pb = scores[(y + SIDE) * SCORES + j];
                    float v0 = tile[j * pitch + c];
                    float v1 = tile[j * pitch + c + SIDE];
                    float v2 = tile[j * pitch + c + 2 * SIDE];
                    float v3 = tile[j * pitch + c + 3 * SIDE];
                    addA += pa;
                    addB += pb;
                    a0 += pa * v0;
                    a1 += pa * v1;
                    a2 += pa * v2;
                    a3 += pa * v3;
                    b0 += pb * v0;
                    b1 += pb * v1;
                    b2 += pb * v2;
                    b3 += pb * v3;
                }
                put(out, outA, c, widthA, keepA, a0);
                put(out, outA, c + SIDE, widthA, keepA, a1);
                put(out, outA, c + 2 * SIDE, widthA, keepA, a2);
                put(out, outA, c + 3 * SIDE, widthA, keepA, a3);
                put(out, outB, c, widthB, keepB, b0);
                put(out, outB, c + SIDE, widthB, keepB, b1);
                put(out, outB, c + 2 * SIDE, widthB, keepB, b2);
                put(out, outB, c + 3 * SIDE, widthB, keepB, b3);
            }
            sumA = sumA * keepA + addA;
            sumB = sumB * keepB + addB;
            maxA = newA;
            maxB = newB;
            context.localBarrier();
        }
        for (int c = x; c < widthA; c += SIDE)
            out.set(outA + c, out.get(outA + c) / sumA);
        for (int c = x; c < widthB; c += SIDE)
            out.set(outB + c, out.get(outB + c) / sumB);
        int lseA = at.get(slot + 5) + (row0 + ia) * H + h;
        if (x == 0 && ia < T)
            lse.set(lseA, maxA + TornadoMath.log(sumA));
        if (x == 0 && ib < T)
            lse.set(lseA + SIDE * H, maxB + TornadoMath.log(sumB));
    }

    /// [AttentionKernels#attendCache]: a work group per query and head. An item first computes the score of one of 128 keys,
    /// then one of the features: adjacent items read adjacent elements of a row of v.
    static void attendCacheRow(KernelContext context, IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v,
            IntArray rows, FloatArray out, int T, int H, int KV, int D, float scale, int window) {
        int features = at.get(slot + 5);
        int length = at.get(slot + 6);
        float[] own = context.allocateFloatLocalArray(MAX_D);
        float[] scores = context.allocateFloatLocalArray(MAX_D);
        int x = context.localIdx;
        int n = context.groupIdx / H;
        int group = context.groupIdx % H / (H / KV);
        int row = context.groupIdx * D;
        int i = rows.get(at.get(slot + 3) + T + n);
        int first = firstKey(rows.get(at.get(slot + 3) + n), i, window);
        int c = TornadoMath.min(x, D - 1);
        own[x] = scale * q.get(at.get(slot) + row + c);
        float max = NONE;
        float sum = 0f;
        float value = 0f;
        context.localBarrier();
        for (int j0 = first; j0 <= i; j0 += MAX_D) {
            int kAt = at.get(slot + 1) + (TornadoMath.min(j0 + x, i) * KV + group) * D;
            int vAt = at.get(slot + 2) + (j0 * KV + group) * D + c;
            int keys = TornadoMath.min(i - j0 + 1, length);
            float score = 0f;
            for (int f = 0; f < features; f++)
                score += own[f] * k.get(kAt + f);
            scores[x] = score;
            context.localBarrier();
            float newMax = max;
            for (int j = 0; j < keys; j++)
                newMax = TornadoMath.max(newMax, scores[j]);
            context.localBarrier();
            scores[x] = TornadoMath.exp(score - newMax);
            context.localBarrier();
            float keep = TornadoMath.exp(max - newMax);
            sum *= keep;
            value *= keep;
            for (int j = 0; j < keys; j++) {
                float p = scores[j];
                sum += p;
                value += p * v.get(vAt + j * KV * D);
            }
            max = newMax;
            context.localBarrier();
        }
        if (x < D)
            out.set(at.get(slot + 4) + row + x, value / sum);
    }

    /// [AttentionKernels#queryGrad]; rows of dOut are read from global memory, because all items of a row read the same ones.
    static void queryGradTile(KernelContext context, IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v,
            IntArray start, FloatArray lse, FloatArray dOut, FloatArray delta, FloatArray dQ, int T, int H, int KV,
            int D, float scale, int window) {
        int pitch = pitch(D);
        int features = at.get(slot + 8);
        int length = at.get(slot + 9);
        float[] own = context.allocateFloatLocalArray(TILE * pitch);
        float[] tile = context.allocateFloatLocalArray(TILE * pitch);
        float[] scores = context.allocateFloatLocalArray(TILE * SCORES);
        int x = context.localIdx;
        int y = context.localIdy;
        int i0 = (T - 1 >> 5) - context.groupIdx << 5;
        int h = context.groupIdy % H;
        int row0 = context.groupIdy / H * T;
        int group = h / (H / KV);
        int startAt = at.get(slot + 3) + row0;
        int ia = i0 + y;
        int ib = ia + SIDE;
        int nearA = TornadoMath.min(ia, T - 1);
        int nearB = TornadoMath.min(ib, T - 1);
        int firstA = firstKey(start.get(startAt + nearA), ia, window);
        int firstB = firstKey(start.get(startAt + nearB), ib, window);
        int headA = (row0 + nearA) * H + h;
        int headB = (row0 + nearB) * H + h;
        float lseA = lse.get(at.get(slot + 4) + headA);
        float lseB = lse.get(at.get(slot + 4) + headB);
        float deltaA = delta.get(at.get(slot + 6) + headA);
        float deltaB = delta.get(at.get(slot + 6) + headB);
        int dOutA = at.get(slot + 5) + headA * D;
        int dOutB = at.get(slot + 5) + headB * D;
        int low = T - 1;
        for (int r = 0; r < length; r++) {
            int i = TornadoMath.min(i0 + r, T - 1);
            low = TornadoMath.min(low, firstKey(start.get(startAt + i), i, window));
        }
        for (int r = y; r < TILE; r += SIDE)
            for (int c = x; c < D; c += SIDE)
                own[r * pitch + c] =
                        i0 + r < T ? scale * q.get(at.get(slot) + ((row0 + i0 + r) * H + h) * D + c) : 0f;
        int widthA = ia < T ? D : 0;
        int widthB = ib < T ? D : 0;
        for (int j0 = low; j0 < i0 + TILE; j0 += TILE) {
            for (int r = y; r < TILE; r += SIDE)
                for (int c = x; c < D; c += SIDE)
                    tile[r * pitch + c] =
                            j0 + r < T ? v.get(at.get(slot + 2) + ((row0 + j0 + r) * KV + group) * D + c) : 0f;
            context.localBarrier();
            float dAa = 0f;
            float dAb = 0f;
            float dBa = 0f;
            float dBb = 0f;
            for (int c = 0; c < features; c++) {
                float da = dOut.get(dOutA + c);
                float db = dOut.get(dOutB + c);
                float va = tile[x * pitch + c];
                float vb = tile[(x + SIDE) * pitch + c];
                dAa += da * va;
                dAb += da * vb;
                dBa += db * va;
                dBb += db * vb;
            }
            context.localBarrier();
            for (int r = y; r < TILE; r += SIDE)
                for (int c = x; c < D; c += SIDE)
                    tile[r * pitch + c] =
                            j0 + r < T ? k.get(at.get(slot + 1) + ((row0 + j0 + r) * KV + group) * D + c) : 0f;
            context.localBarrier();
            float aa = 0f;
            float ab = 0f;
            float ba = 0f;
            float bb = 0f;
            for (int c = 0; c < features; c++) {
                float qa = own[y * pitch + c];
                float qb = own[(y + SIDE) * pitch + c];
                float ka = tile[x * pitch + c];
                float kb = tile[(x + SIDE) * pitch + c];
                aa += qa * ka;
                ab += qa * kb;
                ba += qb * ka;
                bb += qb * kb;
            }
            int ja = j0 + x;
            int jb = ja + SIDE;
            aa = scale * TornadoMath.exp(aa - lseA) * (dAa - deltaA);
            ab = scale * TornadoMath.exp(ab - lseA) * (dAb - deltaA);
            ba = scale * TornadoMath.exp(ba - lseB) * (dBa - deltaB);
            bb = scale * TornadoMath.exp(bb - lseB) * (dBb - deltaB);
            scores[y * SCORES + x] = ja >= firstA && ja <= ia ? aa : 0f;
            scores[y * SCORES + x + SIDE] = jb >= firstA && jb <= ia ? ab : 0f;
            scores[(y + SIDE) * SCORES + x] = ja >= firstB && ja <= ib ? ba : 0f;
            scores[(y + SIDE) * SCORES + x + SIDE] = jb >= firstB && jb <= ib ? bb : 0f;
            context.localBarrier();
            float keep = j0 > low ? 1f : 0f;
            for (int c = x; c < D; c += 4 * SIDE) {
                float a0 = 0f;
                float a1 = 0f;
                float a2 = 0f;
                float a3 = 0f;
                float b0 = 0f;
                float b1 = 0f;
                float b2 = 0f;
                float b3 = 0f;
                for (int j = 0; j < length; j++) {
                    float sa = scores[y * SCORES + j];
                    float sb = scores[(y + SIDE) * SCORES + j];
                    float k0 = tile[j * pitch + c];
                    float k1 = tile[j * pitch + c + SIDE];
                    float k2 = tile[j * pitch + c + 2 * SIDE];
                    float k3 = tile[j * pitch + c + 3 * SIDE];
                    a0 += sa * k0;
                    a1 += sa * k1;
                    a2 += sa * k2;
                    a3 += sa * k3;
                    b0 += sb * k0;
                    b1 += sb * k1;
                    b2 += sb * k2;
                    b3 += sb * k3;
                }
                int rowA = at.get(slot + 7) + headA * D;
                int rowB = at.get(slot + 7) + headB * D;
                put(dQ, rowA, c, widthA, keep, a0);
                put(dQ, rowA, c + SIDE, widthA, keep, a1);
                put(dQ, rowA, c + 2 * SIDE, widthA, keep, a2);
                put(dQ, rowA, c + 3 * SIDE, widthA, keep, a3);
                put(dQ, rowB, c, widthB, keep, b0);
                put(dQ, rowB, c + SIDE, widthB, keep, b1);
                put(dQ, rowB, c + 2 * SIDE, widthB, keep, b2);
                put(dQ, rowB, c + 3 * SIDE, widthB, keep, b3);
            }
            context.localBarrier();
        }
    }

    /// [AttentionKernels#keyValueGrad]; rows of k and v are read from global memory.
    static void keyValueGradTile(KernelContext context, IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v,
            IntArray start, FloatArray lse, FloatArray dOut, FloatArray delta, FloatArray dK, FloatArray dV, int T,
            int H, int KV, int D, float scale, int window) {
        int pitch = pitch(D);
        int features = at.get(slot + 9);
        int length = at.get(slot + 10);
        float[] tileQ = context.allocateFloatLocalArray(TILE * pitch);
        float[] tileO = context.allocateFloatLocalArray(TILE * pitch);
        float[] p = context.allocateFloatLocalArray(TILE * SCORES);
        float[] dS = context.allocateFloatLocalArray(TILE * SCORES);
        int x = context.localIdx;
        int y = context.localIdy;
        int j0 = context.groupIdx << 5;
        int group = context.groupIdy % KV;
        int row0 = context.groupIdy / KV * T;
        int ja = j0 + y;
        int jb = ja + SIDE;
        int rowA = ((row0 + TornadoMath.min(ja, T - 1)) * KV + group) * D;
        int rowB = ((row0 + TornadoMath.min(jb, T - 1)) * KV + group) * D;
        int widthA = ja < T ? D : 0;
        int widthB = jb < T ? D : 0;
        int last = window > 0 ? TornadoMath.min(T - 1, j0 + TILE - 1 + window - 1) : T - 1;
        float keep = 0f;
        for (int h = group * (H / KV); h < (group + 1) * (H / KV); h++)
            for (int i0 = j0; i0 <= last; i0 += TILE) {
                for (int r = y; r < TILE; r += SIDE)
                    for (int c = x; c < D; c += SIDE) {
                        int from = ((row0 + i0 + r) * H + h) * D + c;
                        tileQ[r * pitch + c] = i0 + r < T ? q.get(at.get(slot) + from) : 0f;
                        tileO[r * pitch + c] = i0 + r < T ? dOut.get(at.get(slot + 5) + from) : 0f;
                    }
                context.localBarrier();
                float aa = 0f;
                float ab = 0f;
                float ba = 0f;
                float bb = 0f;
                float dAa = 0f;
                float dAb = 0f;
                float dBa = 0f;
                float dBb = 0f;
                for (int c = 0; c < features; c++) {
                    float ka = k.get(at.get(slot + 1) + rowA + c);
                    float kb = k.get(at.get(slot + 1) + rowB + c);
                    float va = v.get(at.get(slot + 2) + rowA + c);
                    float vb = v.get(at.get(slot + 2) + rowB + c);
                    float qa = tileQ[x * pitch + c];
                    float qb = tileQ[(x + SIDE) * pitch + c];
                    float oa = tileO[x * pitch + c];
                    float ob = tileO[(x + SIDE) * pitch + c];
                    aa += ka * qa;
                    ab += ka * qb;
                    ba += kb * qa;
                    bb += kb * qb;
                    dAa += va * oa;
                    dAb += va * ob;
                    dBa += vb * oa;
                    dBb += vb * ob;
                }
                int ia = i0 + x;
                int ib = ia + SIDE;
                int nearA = TornadoMath.min(ia, T - 1);
                int nearB = TornadoMath.min(ib, T - 1);
                int firstA = ia < T ? firstKey(start.get(at.get(slot + 3) + row0 + nearA), ia, window) : T;
                int firstB = ib < T ? firstKey(start.get(at.get(slot + 3) + row0 + nearB), ib, window) : T;
                float lseA = lse.get(at.get(slot + 4) + (row0 + nearA) * H + h);
                float lseB = lse.get(at.get(slot + 4) + (row0 + nearB) * H + h);
                float deltaA = delta.get(at.get(slot + 6) + (row0 + nearA) * H + h);
                float deltaB = delta.get(at.get(slot + 6) + (row0 + nearB) * H + h);
                aa = ja >= firstA && ja <= ia ? TornadoMath.exp(scale * aa - lseA) : 0f;
                ab = ja >= firstB && ja <= ib ? TornadoMath.exp(scale * ab - lseB) : 0f;
                ba = jb >= firstA && jb <= ia ? TornadoMath.exp(scale * ba - lseA) : 0f;
                bb = jb >= firstB && jb <= ib ? TornadoMath.exp(scale * bb - lseB) : 0f;
                p[y * SCORES + x] = aa;
                p[y * SCORES + x + SIDE] = ab;
                p[(y + SIDE) * SCORES + x] = ba;
                p[(y + SIDE) * SCORES + x + SIDE] = bb;
                dS[y * SCORES + x] = scale * aa * (dAa - deltaA);
                dS[y * SCORES + x + SIDE] = scale * ab * (dAb - deltaB);
                dS[(y + SIDE) * SCORES + x] = scale * ba * (dBa - deltaA);
                dS[(y + SIDE) * SCORES + x + SIDE] = scale * bb * (dBb - deltaB);
                context.localBarrier();
                for (int c = x; c < D; c += 2 * SIDE) {
                    float ka0 = 0f;
                    float ka1 = 0f;
                    float kb0 = 0f;
                    float kb1 = 0f;
                    float va0 = 0f;
                    float va1 = 0f;
                    float vb0 = 0f;
                    float vb1 = 0f;
                    for (int i = 0; i < length; i++) {
                        float pa = p[y * SCORES + i];
                        float pb = p[(y + SIDE) * SCORES + i];
                        float sa = dS[y * SCORES + i];
                        float sb = dS[(y + SIDE) * SCORES + i];
                        float q0 = tileQ[i * pitch + c];
                        float q1 = tileQ[i * pitch + c + SIDE];
                        float o0 = tileO[i * pitch + c];
                        float o1 = tileO[i * pitch + c + SIDE];
                        ka0 += sa * q0;
                        ka1 += sa * q1;
                        kb0 += sb * q0;
                        kb1 += sb * q1;
                        va0 += pa * o0;
                        va1 += pa * o1;
                        vb0 += pb * o0;
                        vb1 += pb * o1;
                    }
                    put(dK, at.get(slot + 7) + rowA, c, widthA, keep, ka0);
                    put(dK, at.get(slot + 7) + rowA, c + SIDE, widthA, keep, ka1);
                    put(dK, at.get(slot + 7) + rowB, c, widthB, keep, kb0);
                    put(dK, at.get(slot + 7) + rowB, c + SIDE, widthB, keep, kb1);
                    put(dV, at.get(slot + 8) + rowA, c, widthA, keep, va0);
                    put(dV, at.get(slot + 8) + rowA, c + SIDE, widthA, keep, va1);
                    put(dV, at.get(slot + 8) + rowB, c, widthB, keep, vb0);
                    put(dV, at.get(slot + 8) + rowB, c + SIDE, widthB, keep, vb1);
                }
                keep = 1f;
                context.localBarrier();
            }
    }
}
