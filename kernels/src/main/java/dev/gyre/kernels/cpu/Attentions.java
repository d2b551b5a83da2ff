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
    /// Queries of a tile of the gradient. Forward tiles have fewer, so that the query heads of a group fill [#COLUMNS].
    private static final int QUERIES = 64;
    private static final int COLUMNS = 96;
    /// Keys of a tile: their rows, the values and the scores of a panel fit the near cache together.
    private static final int KEYS = 48;
    /// A chunk of the gradient is a multiple of both tiles and at most [#LONGEST] keys.
    private static final int CHUNK = 192;
    private static final int LONGEST = 960;
    /// Items of a gradient, so that up to as many threads have work.
    private static final int ITEMS = 32;

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

        /// Queries of a forward tile.
        int queries() {
            return Math.clamp((COLUMNS / group() + 15) / 16 * 16, 16, QUERIES);
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
        int some = heads.queries();
        int tiles = (T + some - 1) / some;
        // the last tiles see the most keys: they go first, so that no thread is left with one at the end
        Cpu.Body body = (item, worker) -> {
            int tile = tiles - 1 - item / (op.B() * op.KV());
            int kv = item % op.KV();
            int b = item / op.KV() % op.B();
            forward(cpu, simd, heads, q, k, v, start, b * T, 0, tile * some, Math.min(T, (tile + 1) * some), kv, out,
                    lse, worker);
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
        // per column: the query, scaled, in panels; the sum of values; what the softmax keeps; all in a row
        float[] w = cpu.scratch(worker, 0,
                panels * NR * (2 * D + high + 3) + KEYS * (high + D) + deep * NR);
        int sums = panels * NR * D;
        int stats = sums + panels * NR * high;
        int values = stats + 3 * panels * NR;
        int scores = values + high * KEYS;
        int lines = scores + deep * NR;
        int keys = lines + panels * NR * D;
        Arrays.fill(w, sums, stats, 0f);
        for (int c = 0; c < columns; c++) {
            int at = q.off() + (row0 + i0 + c % rows) * qd + (kv * s.group() + c / rows) * D;
            simd.scale(s.scale(), q.f(), at, w, lines + c * D, D);
        }
        Panels.ofTransposed(simd, w, lines, D, D, columns, w, 0);
        int low = Integer.MAX_VALUE;
        int highest = 0;
        for (int i = i0; i < i1; i++) {
            int l = s.low(first + i, startOf(start, row0 + i));
            low = Math.min(low, l);
            highest = Math.max(highest, l);
        }
        for (int p = 0; p < panels; p++) {
            Arrays.fill(w, stats + 3 * p * NR, stats + (3 * p + 1) * NR, Simd.LOWEST);
            Arrays.fill(w, stats + (3 * p + 1) * NR, stats + (3 * p + 2) * NR, 0f);
        }
        for (int j0 = low; j0 < first + i1; j0 += KEYS) {
            int n = Math.min(KEYS, first + i1 - j0);
            int at = (row0 + j0) * kd + kv * D;
            boolean all = j0 >= highest && j0 + n - 1 <= first + i0;
            simd.copy(k.f(), k.off() + at, kd, n, D, w, keys, D);
            simd.transpose(v.f(), v.off() + at, kd, n, D, w, values, KEYS);
            for (int p = 0; p < panels; p++) {
                simd.tilesFromRows(n, D, w, keys, D, w, p * NR * D, w, scores, false);
                if (!all && !mask(s, w, scores, NR, p * NR, Math.min(NR, columns - p * NR), rows, start, row0 + i0,
                        first + i0, j0, n))
                    continue;
                simd.softmaxStep(n, w, scores, stats + 3 * p * NR, sums + p * NR * high, D);
                simd.tilesFromRows(D, n, w, values, KEYS, w, scores, w, sums + p * NR * high, true);
            }
        }
        for (int p = 0; p < panels; p++) {
            int max = stats + 3 * p * NR;
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

    private static int startOf(@Nullable View start, int row) {
        return start == null ? 0 : start.i()[start.off() + row];
    }

    /// Takes the keys j0..j0+n-1 that a column does not see out of its scores; false when no column sees any of them.
    private static boolean mask(Heads s, float[] w, int scores, int NR, int c0, int columns, int rows,
            @Nullable View start, int row, int first, int j0, int n) {
        boolean any = false;
        for (int c = 0; c < columns; c++) {
            int i = (c0 + c) % rows;
            int from = Math.clamp(s.low(first + i, startOf(start, row + i)) - j0, 0, n);
            int to = Math.clamp(first + i + 1 - j0, from, n);
            any |= from < to;
            for (int j = 0; j < from; j++)
                w[scores + j * NR + c] = Float.NEGATIVE_INFINITY;
            for (int j = to; j < n; j++)
                w[scores + j * NR + c] = Float.NEGATIVE_INFINITY;
        }
        return any;
    }

    /// The gradient takes keys and queries in the same chunks. An item is a chunk of queries against a chunk of keys that
    /// do not lie behind them, for one key/value head and its group of query heads; it makes its part of dQ, dK and dV
    /// in five products. In pass s queries are s chunks ahead of their keys: so items of a pass share no result, and
    /// every result is summed in the order of the passes, whoever runs them. A batch with many heads needs one chunk, one
    /// pass and no summing.
    static Runnable attentionGrad(Cpu cpu, Simd simd, Op.AttentionGrad op, View q, View k, View v, View start, View out,
            View lse, View dOut, View delta, View dQ, View dK, View dV) {
        int T = op.T();
        int pairs = op.B() * op.KV();
        int wanted = Math.max((ITEMS + 2 * pairs - 1) / (2 * pairs), (T + LONGEST - 1) / LONGEST);
        int chunk = ((T + wanted - 1) / wanted + CHUNK - 1) / CHUNK * CHUNK;
        int chunks = (T + chunk - 1) / chunk;
        Gradient g =
                new Gradient(cpu, simd, new Heads(op.H(), op.KV(), op.D(), op.scale(), op.window()), T, chunk, q, k,
                        v, start, out, lse, dOut, delta, dQ, dK, dV);
        return () -> {
            for (int pass = 0; pass < chunks; pass++) {
                int ahead = pass;
                cpu.forEach(pairs * (chunks - pass), (item, worker) -> {
                    int c = item / pairs * chunk;
                    g.run(item % pairs, c, c + ahead * chunk, worker);
                });
            }
        };
    }

    private record Gradient(Cpu cpu, Simd simd, Heads s, int T, int chunk, View q, View k, View v, View start, View out,
            View lse, View dOut, View delta, View dQ, View dK, View dV) {
        /// @param pair sequence and key/value head
        /// @param k0 first key of the chunk, within its sequence
        /// @param q0 first query of the chunk, `k0` or behind it
        void run(int pair, int k0, int q0, int worker) {
            int D = s.D();
            int kd = s.KV() * D;
            int kv = pair % s.KV();
            int row0 = pair / s.KV() * T;
            int k1 = Math.min(T, k0 + chunk);
            int count = k1 - k0;
            int own = (row0 + k0) * kd + kv * D;
            boolean first = q0 == k0;
            // keys and values as rows, keys turned tile by tile, then dK and dV as rows
            float[] near = cpu.scratch(worker, 2, 5 * chunk * D);
            int values = chunk * D;
            int turned = 2 * values;
            int dKeys = 3 * values;
            int dValues = 4 * values;
            simd.copy(k.f(), k.off() + own, kd, count, D, near, 0, D);
            simd.copy(v.f(), v.off() + own, kd, count, D, near, values, D);
            for (int j = 0; j < count; j += KEYS)
                simd.transpose(near, j * D, D, Math.min(KEYS, count - j), D, near, turned + j * D, KEYS);
            if (first) {
                Arrays.fill(near, dKeys, 5 * values, 0f);
            } else {
                simd.copy(dK.f(), dK.off() + own, kd, count, D, near, dKeys, D);
                simd.copy(dV.f(), dV.off() + own, kd, count, D, near, dValues, D);
            }
            for (int i0 = q0; i0 < Math.min(T, q0 + chunk); i0 += QUERIES)
                queries(near, kv, row0, k0, k1, i0, Math.min(QUERIES, T - i0), first, worker);
            simd.copy(near, dKeys, D, count, D, dK.f(), dK.off() + own, kd);
            simd.copy(near, dValues, D, count, D, dV.f(), dV.off() + own, kd);
        }

        /// One tile of queries, head by head, against the keys k0..k1-1.
        private void queries(float[] near, int kv, int row0, int k0, int k1, int i0, int rows, boolean first,
                int worker) {
            int D = s.D();
            int G = s.group();
            int H = s.H();
            int qd = H * D;
            int NR = simd.tileCols();
            int high = D + simd.tileRows();
            int deep = KEYS + simd.tileRows();
            int wide = (QUERIES + NR - 1) / NR * NR;
            int wideD = (D + NR - 1) / NR * NR;
            int columns = (rows + NR - 1) / NR * NR;
            int values = chunk * D;
            // q^T (scaled), dOut^T, q and dOut in panels, dQ^T; lse, delta, first visible key and position; scores
            int gT = wide * D;
            int qP = gT + wide * D;
            int gP = qP + wide * wideD;
            int sums = gP + wide * wideD;
            int stats = sums + wide * high;
            int probs = stats + 4 * wide;
            int grads = probs + deep * wide;
            int packed = grads + deep * wide;
            float[] w = cpu.scratch(worker, 0, packed + deep * wide);
            float[] tile = cpu.scratch(worker, 1, simd.tileRows() * NR);
            int low = Integer.MAX_VALUE;
            int highest = 0;
            for (int r = 0; r < rows; r++) {
                int l = s.low(i0 + r, startOf(start, row0 + i0 + r));
                low = Math.min(low, l);
                highest = Math.max(highest, l);
            }
            int end = Math.min(k1, i0 + rows);
            int begin = k0 + Math.max(0, low - k0) / KEYS * KEYS;
            // no query sees this chunk, which then is not their own
            if (begin >= end)
                return;
            for (int h = kv * G; h < (kv + 1) * G; h++) {
                int at = (row0 + i0) * qd + h * D;
                statistics(w, stats, columns, h, row0, i0, rows, first);
                Panels.of(simd, q.f(), q.off() + at, qd, rows, D, w, qP);
                Panels.of(simd, dOut.f(), dOut.off() + at, qd, rows, D, w, gP);
                Panels.ofTransposed(simd, q.f(), q.off() + at, qd, D, rows, w, 0);
                simd.scale(s.scale(), w, 0, w, 0, columns * D);
                Panels.ofTransposed(simd, dOut.f(), dOut.off() + at, qd, D, rows, w, gT);
                Arrays.fill(w, sums, sums + columns * high, 0f);
                for (int j0 = begin; j0 < end; j0 += KEYS) {
                    int n = Math.min(KEYS, end - j0);
                    int key = (j0 - k0) * D;
                    simd.product(n, columns, D, near, key, D, w, 0, w, probs, columns, false, tile);
                    simd.product(n, columns, D, near, values + key, D, w, gT, w, grads, columns, false, tile);
                    if (j0 >= highest && j0 + n - 1 <= i0)
                        simd.softmaxGradRows(n, columns, s.scale(), w, probs, grads, stats, packed, n * NR);
                    else
                        for (int j = 0; j < n; j++)
                            simd.softmaxGradRow(columns, j0 + j, s.scale(), w, probs + j * columns, grads + j * columns,
                                    stats, packed + j * NR, n * NR);
                    simd.product(n, D, rows, w, probs, columns, w, gP, near, 4 * values + key, D, true, tile);
                    simd.product(n, D, rows, w, grads, columns, w, qP, near, 3 * values + key, D, true, tile);
                    for (int p = 0; p < columns / NR; p++)
                        simd.tilesFromRows(D, n, near, 2 * values + key, KEYS, w, packed + p * n * NR, w,
                                sums + p * NR * high, true);
                }
                for (int p = 0; p * NR < rows; p++) {
                    int some = Math.min(NR, rows - p * NR);
                    int to = at + p * NR * qd;
                    // q^T is no longer needed: its place takes the rows of dQ
                    simd.transpose(w, sums + p * NR * high, NR, D, some, w, 0, D);
                    for (int r = 0; r < some; r++)
                        if (first)
                            System.arraycopy(w, r * D, dQ.f(), dQ.off() + to + r * qd, D);
                        else
                            simd.add(dQ.f(), dQ.off() + to + r * qd, w, r * D, dQ.f(), dQ.off() + to + r * qd, D);
                }
            }
        }

        /// What [Simd#softmaxGradRow] wants of each query; the first pass makes delta.
        private void statistics(float[] w, int stats, int columns, int h, int row0, int i0, int rows, boolean first) {
            int D = s.D();
            int H = s.H();
            for (int r = 0; r < columns; r++) {
                int row = row0 + i0 + r;
                boolean real = r < rows;
                float d = 0f;
                if (real && first) {
                    int at = row * H * D + h * D;
                    d = simd.dot(dOut.f(), dOut.off() + at, out.f(), out.off() + at, D);
                    delta.f()[delta.off() + row * H + h] = d;
                } else if (real) {
                    d = delta.f()[delta.off() + row * H + h];
                }
                w[stats + r] = real ? lse.f()[lse.off() + row * H + h] : 0f;
                w[stats + columns + r] = d;
                w[stats + 2 * columns + r] = real ? s.low(i0 + r, startOf(start, row)) : 0f;
                w[stats + 3 * columns + r] = real ? i0 + r : -1f;
            }
        }
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
        int some = heads.queries();
        int tiles = (T + some - 1) / some;
        Cpu.Body body = (item, worker) -> {
            int tile = tiles - 1 - item / op.KV();
            forward(cpu, simd, heads, q, kCache, vCache, null, 0, start.i()[start.off()], tile * some,
                    Math.min(T, (tile + 1) * some), item % op.KV(), out, null, worker);
        };
        return () -> {
            position(op, start, T, op.P());
            cpu.forEach(op.KV() * tiles, body);
        };
    }
}
