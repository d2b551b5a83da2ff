package dev.gyre.kernels.cpu;

import dev.gyre.kernels.Op;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Causal attention with grouped key/value heads, its gradient, the key/value cache, and rotary embedding.
///
/// Keys go by in tiles; the scores of a tile of queries against a tile of keys are all that is ever held. Scores are
/// kept transposed, a row per key and a column per query: then maxima and sums of the softmax run down the columns in
/// full vectors, keys and values are left operands as they lie in memory, and a tile of scores is already the packed
/// right operand of the next product.
final class Attentions {
    private static final int QUERIES = 64;
    private static final int KEYS = 96;

    private Attentions() {
    }

    static Runnable rope(Cpu cpu, Simd simd, Op.Rope op, View x, View cos, View sin, View positions) {
        int D = op.D();
        int C = op.heads() * D;
        int half = D / 2;
        float sign = op.inverse() ? -1f : 1f;
        int P = half == 0 ? 0 : cos.length() / half;
        return Columns.rows(cpu, op.N(), C, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int pos = positions.i()[positions.off() + t];
                if (pos < 0 || pos >= P)
                    throw new IllegalArgumentException("position " + pos + " at row " + t
                            + " is outside the rotary tables of " + P + " positions (" + op.cos() + ")");
                for (int h = 0; h < op.heads(); h++)
                    simd.rope(x.f(), x.off() + t * C + h * D, cos.f(), cos.off() + pos * half, sin.f(),
                            sin.off() + pos * half, half, sign);
            }
        });
    }

    /// What forward passes share: T queries at positions `first + i`, `H` query heads over `KV` key/value heads.
    private record Heads(int H, int KV, int D, float scale, int window) {
        int group() {
            return H / KV;
        }

        /// First key that the query at `pos` sees.
        int low(int pos, int start) {
            return window > 0 ? Math.max(start, pos - window + 1) : start;
        }
    }

    static Runnable attention(Cpu cpu, Simd simd, Op.Attention op, View q, View k, View v, View start, View out,
            View lse) {
        Heads heads = new Heads(op.H(), op.KV(), op.D(), op.scale(), op.window());
        int T = op.T();
        int tiles = (T + QUERIES - 1) / QUERIES;
        // the last tiles see the most keys: they go first, so that no thread is left with one at the end
        Cpu.Body body = (item, worker) -> {
            int tile = tiles - 1 - item / (op.B() * op.KV());
            int kv = item % op.KV();
            int b = item / op.KV() % op.B();
            forward(cpu, simd, heads, q, k, v, start, b * T, 0, tile * QUERIES, Math.min(T, (tile + 1) * QUERIES), kv,
                    out, lse, worker);
        };
        return () -> cpu.forEach(op.B() * op.KV() * tiles, body);
    }

    /// Queries i0..i1-1 of one sequence, whose first row is `row0` and whose first query has position `first`, for all
    /// query heads of one key/value head; a column of the scores is one of these (head, query) pairs.
    private static void forward(Cpu cpu, Simd simd, Heads s, View q, View k, View v, @Nullable View start, int row0,
            int first, int i0, int i1, int kv, View out, @Nullable View lse, int worker) {
        int D = s.D();
        int qd = s.H() * D;
        int kd = s.KV() * D;
        int rows = i1 - i0;
        int columns = s.group() * rows;
        int NR = simd.tileCols();
        int panels = (columns + NR - 1) / NR;
        int high = D + simd.tileRows();
        int deep = KEYS + simd.tileRows();
        // per column: the query, scaled, in panels; the sum of values; maximum and denominator
        float[] w = cpu.scratch(worker, 0,
                panels * NR * (D + high + 2) + high * KEYS + deep * NR + panels * NR * D);
        int sums = panels * NR * D;
        int stats = sums + panels * NR * high;
        int values = stats + 2 * panels * NR;
        int scores = values + high * KEYS;
        int lines = scores + deep * NR;
        Arrays.fill(w, sums, stats, 0f);
        for (int c = 0; c < columns; c++) {
            int at = q.off() + (row0 + i0 + c % rows) * qd + (kv * s.group() + c / rows) * D;
            simd.scale(s.scale(), q.f(), at, w, lines + c * D, D);
        }
        Panels.ofTransposed(simd, w, lines, D, D, columns, w, 0);
        int low = Integer.MAX_VALUE;
        int highest = 0;
        for (int i = i0; i < i1; i++) {
            int l = s.low(first + i, start(start, row0 + i));
            low = Math.min(low, l);
            highest = Math.max(highest, l);
        }
        for (int p = 0; p < panels; p++) {
            Arrays.fill(w, stats + 2 * p * NR, stats + (2 * p + 1) * NR, Float.NEGATIVE_INFINITY);
            Arrays.fill(w, stats + (2 * p + 1) * NR, stats + (2 * p + 2) * NR, 0f);
        }
        for (int j0 = low; j0 < first + i1; j0 += KEYS) {
            int n = Math.min(KEYS, first + i1 - j0);
            int at = (row0 + j0) * kd + kv * D;
            boolean all = j0 >= highest && j0 + n - 1 <= first + i0;
            simd.transpose(v.f(), v.off() + at, kd, n, D, w, values, KEYS);
            for (int p = 0; p < panels; p++) {
                simd.tilesFromRows(n, D, k.f(), k.off() + at, kd, w, p * NR * D, w, scores, false);
                if (!all && !mask(s, w, scores, NR, p * NR, Math.min(NR, columns - p * NR), rows, start, row0 + i0,
                        first + i0, j0, n))
                    continue;
                simd.softmaxStep(n, w, scores, stats + 2 * p * NR, sums + p * NR * high, D);
                simd.tilesFromRows(D, n, w, values, KEYS, w, scores, w, sums + p * NR * high, true);
            }
        }
        for (int p = 0; p < panels; p++) {
            int max = stats + 2 * p * NR;
            int some = Math.min(NR, columns - p * NR);
            simd.transpose(w, sums + p * NR * high, NR, D, some, w, lines + p * NR * D, D);
            for (int c = 0; c < some; c++) {
                int row = row0 + i0 + (p * NR + c) % rows;
                int h = kv * s.group() + (p * NR + c) / rows;
                float den = w[max + NR + c];
                simd.scale(1 / den, w, lines + (p * NR + c) * D, out.f(), out.off() + row * qd + h * D, D);
                if (lse != null)
                    lse.f()[lse.off() + row * s.H() + h] = (float) (w[max + c] + Math.log(den));
            }
        }
    }

    private static int start(@Nullable View start, int row) {
        return start == null ? 0 : start.i()[start.off() + row];
    }

    /// Takes the keys j0..j0+n-1 that a column does not see out of its scores; false when no column sees any of them.
    private static boolean mask(Heads s, float[] w, int scores, int NR, int c0, int columns, int rows,
            @Nullable View start, int row, int first, int j0, int n) {
        boolean any = false;
        for (int c = 0; c < columns; c++) {
            int i = (c0 + c) % rows;
            int from = Math.clamp(s.low(first + i, start(start, row + i)) - j0, 0, n);
            int to = Math.clamp(first + i + 1 - j0, from, n);
            any |= from < to;
            for (int j = 0; j < from; j++)
                w[scores + j * NR + c] = Float.NEGATIVE_INFINITY;
            for (int j = to; j < n; j++)
                w[scores + j * NR + c] = Float.NEGATIVE_INFINITY;
        }
        return any;
    }

    /// An item is one key/value head of one sequence with its group of query heads: nothing is shared between items, so
    /// dK and dV of grouped heads are summed in order. Each pair of tiles is visited once, for five products.
    static Runnable attentionGrad(Cpu cpu, Simd simd, Op.AttentionGrad op, View q, View k, View v, View start, View out,
            View lse, View dOut, View delta, View dQ, View dK, View dV) {
        Heads s = new Heads(op.H(), op.KV(), op.D(), op.scale(), op.window());
        int T = op.T();
        int D = op.D();
        int G = s.group();
        int qd = op.H() * D;
        int kd = op.KV() * D;
        int NR = simd.tileCols();
        int high = D + simd.tileRows();
        int keyTiles = (T + KEYS - 1) / KEYS;
        int deep = KEYS + simd.tileRows();
        int queries = (QUERIES + NR - 1) / NR * NR;
        int wideD = (D + NR - 1) / NR * NR;
        Cpu.Body body = (item, worker) -> {
            int kv = item % op.KV();
            int row0 = item / op.KV() * T;
            float[] keys = cpu.scratch(worker, 2, keyTiles * D * KEYS);
            for (int t = row0; t < row0 + T; t++) {
                int own = t * kd + kv * D;
                Arrays.fill(dK.f(), dK.off() + own, dK.off() + own + D, 0f);
                Arrays.fill(dV.f(), dV.off() + own, dV.off() + own + D, 0f);
            }
            for (int tile = 0; tile < keyTiles; tile++)
                simd.transpose(k.f(), k.off() + (row0 + tile * KEYS) * kd + kv * D, kd, Math.min(KEYS, T - tile * KEYS),
                        D, keys, tile * D * KEYS, KEYS);
            // of a tile of queries: q^T (scaled), dOut^T, q and dOut in panels, dQ^T, and lse, delta, low, position
            float[] w = cpu.scratch(worker, 0,
                    2 * queries * D + 2 * queries * wideD + queries * high + 4 * queries + 3 * deep * queries);
            int gT = queries * D;
            int qP = gT + queries * D;
            int gP = qP + queries * wideD;
            int sums = gP + queries * wideD;
            int stats = sums + queries * high;
            int probs = stats + 4 * queries;
            int grads = probs + deep * queries;
            int packed = grads + deep * queries;
            float[] tile = cpu.scratch(worker, 1, simd.tileRows() * NR);
            for (int i0 = 0; i0 < T; i0 += QUERIES) {
                int rows = Math.min(QUERIES, T - i0);
                int low = Integer.MAX_VALUE;
                for (int r = 0; r < rows; r++)
                    low = Math.min(low, s.low(i0 + r, start(start, row0 + i0 + r)));
                for (int h = kv * G; h < (kv + 1) * G; h++) {
                    int at = (row0 + i0) * qd + h * D;
                    Panels.ofTransposed(simd, q.f(), q.off() + at, qd, D, rows, w, 0);
                    simd.scale(op.scale(), w, 0, w, 0, queries * D);
                    Panels.ofTransposed(simd, dOut.f(), dOut.off() + at, qd, D, rows, w, gT);
                    Panels.of(simd, q.f(), q.off() + at, qd, rows, D, w, qP);
                    Panels.of(simd, dOut.f(), dOut.off() + at, qd, rows, D, w, gP);
                    Arrays.fill(w, sums, stats, 0f);
                    for (int r = 0; r < queries; r++) {
                        int row = row0 + i0 + r;
                        boolean real = r < rows;
                        float d = real ? simd.dot(dOut.f(), dOut.off() + at + r * qd, out.f(), out.off() + at + r * qd,
                                D) : 0f;
                        if (real)
                            delta.f()[delta.off() + row * op.H() + h] = d;
                        w[stats + r] = real ? lse.f()[lse.off() + row * op.H() + h] : 0f;
                        w[stats + queries + r] = d;
                        w[stats + 2 * queries + r] = real ? s.low(i0 + r, start(start, row)) : 0f;
                        w[stats + 3 * queries + r] = real ? i0 + r : -1f;
                    }
                    for (int j0 = low / KEYS * KEYS; j0 < i0 + rows; j0 += KEYS) {
                        int n = Math.min(KEYS, i0 + rows - j0);
                        int key = (row0 + j0) * kd + kv * D;
                        simd.product(n, queries, D, k.f(), k.off() + key, kd, w, 0, w, probs, queries, false, tile);
                        simd.product(n, queries, D, v.f(), v.off() + key, kd, w, gT, w, grads, queries, false, tile);
                        for (int j = 0; j < n; j++)
                            simd.softmaxGradRow(queries, j0 + j, op.scale(), w, probs + j * queries,
                                    grads + j * queries, stats, packed + j * NR, n * NR);
                        simd.product(n, D, rows, w, probs, queries, w, gP, dV.f(), dV.off() + key, kd, true, tile);
                        simd.product(n, D, rows, w, grads, queries, w, qP, dK.f(), dK.off() + key, kd, true, tile);
                        for (int p = 0; p < queries / NR; p++)
                            simd.tilesFromRows(D, n, keys, j0 * D, KEYS, w, packed + p * n * NR, w,
                                    sums + p * NR * high, true);
                    }
                    for (int p = 0; p * NR < rows; p++)
                        simd.transpose(w, sums + p * NR * high, NR, D, Math.min(NR, rows - p * NR), dQ.f(),
                                dQ.off() + at + p * NR * qd, qd);
                }
            }
        };
        return () -> cpu.forEach(op.B() * op.KV(), body);
    }

    private static int position(Op op, View start, int T, int P) {
        int first = start.i()[start.off()];
        if (first < 0 || first > P - T)
            throw new IllegalArgumentException(
                    "the cache of " + P + " rows has no place for " + T + " rows from " + first + " on (" + op + ")");
        return first;
    }

    static Runnable cacheStore(Op.CacheStore op, View k, View v, View kCache, View vCache, View start) {
        int n = op.T() * op.C();
        return () -> {
            int at = position(op, start, op.T(), op.P()) * op.C();
            System.arraycopy(k.f(), k.off(), kCache.f(), kCache.off() + at, n);
            System.arraycopy(v.f(), v.off(), vCache.f(), vCache.off() + at, n);
        };
    }

    static Runnable cachedAttention(Cpu cpu, Simd simd, Op.CachedAttention op, View q, View kCache, View vCache,
            View start, View out) {
        Heads heads = new Heads(op.H(), op.KV(), op.D(), op.scale(), op.window());
        int T = op.T();
        int tiles = (T + QUERIES - 1) / QUERIES;
        Cpu.Body body = (item, worker) -> {
            int tile = tiles - 1 - item / op.KV();
            forward(cpu, simd, heads, q, kCache, vCache, null, 0, start.i()[start.off()], tile * QUERIES,
                    Math.min(T, (tile + 1) * QUERIES), item % op.KV(), out, null, worker);
        };
        return () -> {
            position(op, start, T, op.P());
            cpu.forEach(op.KV() * tiles, body);
        };
    }
}
