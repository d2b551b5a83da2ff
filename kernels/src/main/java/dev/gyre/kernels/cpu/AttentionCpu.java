package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.AttentionOps;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Attention with grouped key/value heads, causal or in both directions within bounds, and its gradient; over the key/value cache see [CacheCpu].
///
/// Keys are processed in tiles; only the scores of one tile of queries against one tile of keys are stored. Scores are
/// transposed, a row per key and a column per query: then maxima and sums of the softmax run down the columns in full
/// vectors, and the next product reads the columns of the tile as its rows. Left operands are copied or read where they are,
/// right ones packed; keys after the last query of a panel are skipped.
final class AttentionCpu {
    /// Queries of a tile. Forward tiles may have fewer, so that the query heads of a group fill [#COLUMNS].
    private static final int QUERIES = 64;
    private static final int COLUMNS = 192;
    /// Keys of a tile: their rows, the values and the scores of a panel fit the first-level cache together.
    private static final int KEYS = 64;
    /// Keys and queries of a chunk of the gradient at most.
    private static final int LONGEST = 960;
    /// Floats before the first operand: with the 16 bytes of the array header they fill a cache line.
    private static final int ALIGN = 12;
    /// Items of a gradient: work for up to this many threads.
    private static final int ITEMS = 32;

    private AttentionCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, AttentionOps op, Operands of) {
        return switch (op) {
            case AttentionOps.Attention o -> attention(pool, simd, o, of.at(o.q()), of.at(o.k()), of.at(o.v()),
                    of.at(o.start()), of.optional(o.end()), of.at(o.out()), of.at(o.lse()));
            case AttentionOps.AttentionGrad o -> attentionGrad(pool, simd, o, of.at(o.q()), of.at(o.k()), of.at(o.v()),
                    of.at(o.start()), of.optional(o.end()), of.at(o.out()), of.at(o.lse()), of.at(o.dOut()),
                    of.at(o.delta()), of.at(o.dQ()), of.at(o.dK()), of.at(o.dV()));
            case AttentionOps.CacheStore o ->
                    CacheCpu.store(o, of.at(o.k()), of.at(o.v()), of.at(o.kCache()), of.at(o.vCache()),
                            of.at(o.rows()));
            case AttentionOps.CachedAttention o -> CacheCpu.attention(pool, simd, o, of.at(o.q()), of.at(o.kCache()),
                    of.at(o.vCache()), of.at(o.rows()), of.at(o.out()));
        };
    }

    /// What both passes share: `H` query heads over `KV` key/value heads.
    ///
    /// @param cap of the scores, 0 for none
    private record Heads(int H, int KV, int D, float scale, int window, float cap) {
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

        /// The key after the last that the query at `pos`, in row `row`, sees.
        int high(int pos, @Nullable Operand end, int row) {
            return end == null ? pos + 1 : end.i()[end.off() + row];
        }
    }

    static Runnable attention(ThreadPool pool, Simd simd, AttentionOps.Attention op, Operand q, Operand k, Operand v,
            Operand start, @Nullable Operand end, Operand out, Operand lse) {
        Heads heads = new Heads(op.H(), op.KV(), op.D(), (float) op.scale(), op.window(), (float) op.softCap());
        int T = op.T();
        int some = heads.queries();
        int tiles = (T + some - 1) / some;
        // the last tiles see the most keys: they are taken first, so that no thread starts one at the end
        ThreadPool.Body body = (item, worker) -> {
            int tile = tiles - 1 - item / (op.B() * op.KV());
            int kv = item % op.KV();
            int b = item / op.KV() % op.B();
            forward(pool, simd, heads, q, k, v, start, end, b * T, tile * some, Math.min(T, (tile + 1) * some), kv,
                    out,
                    lse, worker);
        };
        return () -> pool.forEach(op.B() * op.KV() * tiles, body);
    }

    /// Queries i0..i1-1 of one sequence, whose first row is `row0`, for all query heads of one key/value head; a column of
    /// the scores is one of these (head, query) pairs.
    private static void forward(ThreadPool pool, Simd simd, Heads s, Operand q, Operand k, Operand v,
            Operand start, @Nullable Operand end, int row0, int i0, int i1, int kv, Operand out, Operand lse,
            int worker) {
        int D = s.D();
        int qd = s.H() * D;
        int kd = s.KV() * D;
        int rows = i1 - i0;
        int columns = s.group() * rows;
        int NR = simd.tiles().tileCols();
        int panels = (columns + NR - 1) / NR;
        int wide = wide(simd, D);
        // per column: the query in panels, the sum of values as a row, what the softmax keeps, and a row
        int queries = ALIGN;
        int sums = queries + panels * NR * D;
        int stats = sums + panels * NR * wide;
        int lines = stats + 3 * panels * NR;
        int scores = lines + panels * NR * D;
        int keys = scores + KEYS * NR;
        int values = keys + KEYS * D;
        float[] w = pool.scratch(worker, 0, values + KEYS * wide);
        float[] tile = pool.scratch(worker, 1, simd.tiles().tileRows() * NR);
        if (wide > D)
            Arrays.fill(w, values, values + KEYS * wide, 0f);
        Arrays.fill(w, sums, stats, 0f);
        for (int c = 0; c < columns; c++) {
            int at = q.off() + (row0 + i0 + c % rows) * qd + (kv * s.group() + c / rows) * D;
            simd.elements().scale(s.scale(), q.f(), at, w, lines + c * D, D);
        }
        Panels.ofTransposed(simd, w, lines, D, D, columns, w, queries);
        int low = Integer.MAX_VALUE;
        int highest = 0;
        int shortest = Integer.MAX_VALUE;
        int longest = 0;
        for (int i = i0; i < i1; i++) {
            int l = s.low(i, start.i()[start.off() + row0 + i]);
            int u = s.high(i, end, row0 + i);
            low = Math.min(low, l);
            highest = Math.max(highest, l);
            shortest = Math.min(shortest, u);
            longest = Math.max(longest, u);
        }
        for (int p = 0; p < panels; p++) {
            Arrays.fill(w, stats + 3 * p * NR, stats + (3 * p + 1) * NR, SimdSoftmax.LOWEST);
            Arrays.fill(w, stats + (3 * p + 1) * NR, stats + (3 * p + 2) * NR, 0f);
        }
        for (int j0 = low; j0 < longest; j0 += KEYS) {
            int n = Math.min(KEYS, longest - j0);
            int at = (row0 + j0) * kd + kv * D;
            simd.layout().copy(k.f(), k.off() + at, kd, n, D, w, keys, D);
            simd.layout().copy(v.f(), v.off() + at, kd, n, D, w, values, wide);
            for (int p = 0; p < panels; p++) {
                int c0 = p * NR;
                int some = Math.min(NR, columns - c0);
                // a panel may hold the last queries of one head and the first of the next
                int last = c0 % rows + some > rows ? i1 - 1 : i0 + c0 % rows + some - 1;
                int seen = end != null ? n : Math.min(n, last + 1 - j0);
                if (seen <= 0)
                    continue;
                simd.tiles().product(seen, NR, D, w, keys, D, w, queries + c0 * D, w, scores, NR, false, tile);
                if (s.cap > 0)
                    simd.activations().cap(s.cap, w, scores, seen * NR);
                boolean all = j0 >= highest && j0 + seen <= shortest;
                if (!all && !mask(s, w, scores, NR, c0, some, rows, start, end, row0 + i0, i0, j0, seen))
                    continue;
                simd.softmax().step(seen, w, scores, stats + 3 * c0, sums + c0 * wide, wide);
                simd.tiles().mulAdd(some, wide, seen, w, scores, 1, NR, w, values, wide, w, sums + c0 * wide, wide,
                        true);
            }
        }
        for (int p = 0; p < panels; p++) {
            int max = stats + 3 * p * NR;
            int some = Math.min(NR, columns - p * NR);
            for (int c = 0; c < some; c++) {
                int row = row0 + i0 + (p * NR + c) % rows;
                int h = kv * s.group() + (p * NR + c) / rows;
                float den = w[max + NR + c];
                simd.elements().scale(1 / den, w, sums + (p * NR + c) * wide, out.f(), out.off() + row * qd + h * D, D);
                lse.f()[lse.off() + row * s.H() + h] = (float) (w[max + c] + Math.log(den));
            }
        }
    }

    /// Elements of a row of D in whole panels.
    private static int wide(Simd simd, int D) {
        int NR = simd.tiles().tileCols();
        return (D + NR - 1) / NR * NR;
    }

    /// Sets the scores of the keys j0..j0+n-1 that a column does not see to -Infinity; false if no column sees any.
    ///
    /// @param ld distance of the scores of two keys
    private static boolean mask(Heads s, float[] w, int scores, int ld, int c0, int columns, int rows,
            Operand start, @Nullable Operand end, int row, int first, int j0, int n) {
        boolean any = false;
        for (int c = 0; c < columns; c++) {
            int i = (c0 + c) % rows;
            int from = Math.clamp(s.low(first + i, start.i()[start.off() + row + i]) - j0, 0, n);
            int to = Math.clamp(s.high(first + i, end, row + i) - j0, from, n);
            any |= from < to;
            for (int j = 0; j < from; j++)
                w[scores + j * ld + c] = Float.NEGATIVE_INFINITY;
            for (int j = to; j < n; j++)
                w[scores + j * ld + c] = Float.NEGATIVE_INFINITY;
        }
        return any;
    }

    /// Keys and queries are cut into the same chunks. An item is a chunk of queries against a chunk of keys that does
    /// not come after it, for one key/value head and its group of query heads; it makes its part of dQ, dK and dV in
    /// five products. In pass s queries are s chunks ahead of their keys: so items of a pass share no result, and every
    /// result is summed in the order of the passes, whichever thread runs them. A batch with many heads needs one
    /// chunk, one pass and no summing. Where queries see later keys as well, every chunk of queries meets every chunk of
    /// keys, those ahead of the last from the first on.
    static Runnable attentionGrad(ThreadPool pool, Simd simd, AttentionOps.AttentionGrad op, Operand q, Operand k,
            Operand v, Operand start, @Nullable Operand end, Operand out, Operand lse, Operand dOut, Operand delta,
            Operand dQ, Operand dK, Operand dV) {
        int T = op.T();
        int pairs = op.B() * op.KV();
        int wanted = Math.max((ITEMS + 2 * pairs - 1) / (2 * pairs), (T + LONGEST - 1) / LONGEST);
        int chunk = ((T + wanted - 1) / wanted + QUERIES - 1) / QUERIES * QUERIES;
        int chunks = (T + chunk - 1) / chunk;
        Gradient g =
                new Gradient(pool, simd,
                        new Heads(op.H(), op.KV(), op.D(), (float) op.scale(), op.window(), (float) op.softCap()), T,
                        chunk, q, k, v, start, end, out, lse, dOut, delta, dQ, dK, dV);
        return () -> {
            for (int pass = 0; pass < chunks; pass++) {
                int ahead = pass;
                pool.forEach(pairs * (end == null ? chunks - pass : chunks), (item, worker) -> {
                    int c = item / pairs;
                    g.run(item % pairs, c * chunk, (c + ahead) % chunks * chunk, worker);
                });
            }
        };
    }

    private record Gradient(ThreadPool pool, Simd simd, Heads s, int T, int chunk, Operand q, Operand k, Operand v,
            Operand start, @Nullable Operand end, Operand out, Operand lse, Operand dOut, Operand delta, Operand dQ,
            Operand dK, Operand dV) {
        /// @param pair sequence and key/value head
        /// @param k0 first key of the chunk, within its sequence
        /// @param q0 first query of the chunk, at least `k0` in causal attention
        void run(int pair, int k0, int q0, int worker) {
            int D = s.D();
            int kd = s.KV() * D;
            int kv = pair % s.KV();
            int row0 = pair / s.KV() * T;
            int k1 = Math.min(T, k0 + chunk);
            int q1 = Math.min(T, q0 + chunk);
            int count = k1 - k0;
            int own = (row0 + k0) * kd + kv * D;
            boolean first = q0 == k0;
            // keys, values, dK and dV as rows of whole panels
            int wideD = wide(simd, D);
            int values = ALIGN + chunk * wideD;
            int dKeys = values + chunk * wideD;
            int dValues = dKeys + chunk * wideD;
            float[] near = pool.scratch(worker, 2, dValues + chunk * wideD);
            if (wideD > D)
                Arrays.fill(near, ALIGN, dKeys, 0f);
            simd.layout().copy(k.f(), k.off() + own, kd, count, D, near, ALIGN, wideD);
            simd.layout().copy(v.f(), v.off() + own, kd, count, D, near, values, wideD);
            if (first) {
                Arrays.fill(near, dKeys, dValues + count * wideD, 0f);
            } else {
                simd.layout().copy(dK.f(), dK.off() + own, kd, count, D, near, dKeys, wideD);
                simd.layout().copy(dV.f(), dV.off() + own, kd, count, D, near, dValues, wideD);
            }
            for (int i0 = q0; i0 < q1; i0 += QUERIES)
                queries(near, values, dKeys, dValues, kv, row0, k0, k1, i0, Math.min(QUERIES, q1 - i0), first,
                        worker);
            simd.layout().copy(near, dKeys, wideD, count, D, dK.f(), dK.off() + own, kd);
            simd.layout().copy(near, dValues, wideD, count, D, dV.f(), dV.off() + own, kd);
        }

        /// One tile of queries, head by head, against the keys k0..k1-1.
        private void queries(float[] near, int values, int dKeys, int dValues, int kv, int row0, int k0, int k1, int i0,
                int rows, boolean first, int worker) {
            int D = s.D();
            int G = s.group();
            int qd = s.H() * D;
            int NR = simd.tiles().tileCols();
            int panels = (rows + NR - 1) / NR;
            int wide = (QUERIES + NR - 1) / NR * NR;
            int wideD = wide(simd, D);
            // q^T (scaled), dOut^T, q and dOut in panels, dQ as rows; statistics; scores and their gradients, a row for
            // each key
            int qT = ALIGN;
            int gT = qT + wide * D;
            int qP = gT + wide * D;
            int gP = qP + wide * wideD;
            int sums = gP + wide * wideD;
            int stats = sums + wide * wideD;
            int probs = stats + 3 * wide;
            int grads = probs + KEYS * wide;
            int slopes = grads + KEYS * wide;
            float[] w = pool.scratch(worker, 0, s.cap > 0 ? slopes + KEYS * wide : slopes);
            float[] tile = pool.scratch(worker, 1, simd.tiles().tileRows() * NR);
            int low = Integer.MAX_VALUE;
            int highest = 0;
            int shortest = Integer.MAX_VALUE;
            int longest = 0;
            for (int r = 0; r < rows; r++) {
                int l = s.low(i0 + r, start.i()[start.off() + row0 + i0 + r]);
                int u = s.high(i0 + r, end, row0 + i0 + r);
                low = Math.min(low, l);
                highest = Math.max(highest, l);
                shortest = Math.min(shortest, u);
                longest = Math.max(longest, u);
            }
            boolean causal = end == null;
            int stop = Math.min(k1, longest);
            int begin = k0 + Math.max(0, low - k0) / KEYS * KEYS;
            // no query sees this chunk of keys; its own chunk sets delta and dQ all the same
            if (begin >= stop && !first)
                return;
            for (int h = kv * G; h < (kv + 1) * G; h++) {
                int at = (row0 + i0) * qd + h * D;
                statistics(w, stats, panels * NR, h, row0, i0, rows, first);
                Panels.of(simd, q.f(), q.off() + at, qd, rows, D, w, qP);
                Panels.of(simd, dOut.f(), dOut.off() + at, qd, rows, D, w, gP);
                Panels.ofTransposed(simd, q.f(), q.off() + at, qd, D, rows, w, qT);
                simd.elements().scale(s.scale(), w, qT, w, qT, panels * NR * D);
                Panels.ofTransposed(simd, dOut.f(), dOut.off() + at, qd, D, rows, w, gT);
                Arrays.fill(w, sums, sums + rows * wideD, 0f);
                for (int j0 = begin; j0 < stop; j0 += KEYS) {
                    int n = Math.min(KEYS, k1 - j0);
                    int key = (j0 - k0) * wideD;
                    for (int p = causal ? Math.max(0, j0 - i0) / NR : 0; p < panels; p++) {
                        int i = i0 + p * NR;
                        int some = Math.min(NR, rows - p * NR);
                        int seen = causal ? Math.min(n, i + some - j0) : n;
                        int prob = probs + p * NR;
                        int grad = grads + p * NR;
                        simd.tiles().product(seen, NR, D, near, ALIGN + key, wideD, w, qT + p * NR * D, w, prob, wide,
                                false, tile);
                        simd.tiles().product(seen, NR, D, near, values + key, wideD, w, gT + p * NR * D, w, grad,
                                wide, false, tile);
                        for (int j = 0; s.cap > 0 && j < seen; j++)
                            simd.activations().capSlope(s.cap, w, prob + j * wide, w, slopes + j * NR, NR);
                        if (j0 < highest || (causal ? j0 + seen - 1 > i : j0 + seen > shortest))
                            mask(s, w, prob, wide, p * NR, some, rows, start, end, row0 + i0, i0, j0, seen);
                        simd.softmax().grad(seen, wide, s.scale(), w, prob, grad, stats + 3 * p * NR);
                        for (int j = 0; s.cap > 0 && j < seen; j++)
                            simd.elements().mul(1f, w, grad + j * wide, w, slopes + j * NR, w, grad + j * wide, NR);
                        simd.tiles().mulAdd(some, wideD, seen, w, grad, 1, wide, near, ALIGN + key, wideD, w,
                                sums + p * NR * wideD, wideD, true);
                    }
                    // keys that the same panels of queries see, from query r on
                    int tall = causal ? Math.min(n, i0 + rows - j0) : n;
                    for (int j = 0, next; j < tall; j = next) {
                        int r = causal ? Math.max(0, j0 + j - i0) / NR * NR : 0;
                        next = causal ? Math.min(tall, i0 + r + NR - j0) : tall;
                        int from = j * wide + r;
                        for (int c = 0; c < D; c += NR) {
                            int panel = c * rows + r * NR;
                            int to = (j0 - k0 + j) * wideD + c;
                            simd.tiles().product(next - j, NR, rows - r, w, probs + from, wide, w, gP + panel, near,
                                    dValues + to, wideD, true, tile);
                            simd.tiles().product(next - j, NR, rows - r, w, grads + from, wide, w, qP + panel, near,
                                    dKeys + to, wideD, true, tile);
                        }
                    }
                }
                for (int r = 0; r < rows; r++) {
                    int to = dQ.off() + at + r * qd;
                    if (first)
                        System.arraycopy(w, sums + r * wideD, dQ.f(), to, D);
                    else
                        simd.elements().add(dQ.f(), to, w, sums + r * wideD, dQ.f(), to, D);
                }
            }
        }

        /// The statistics that [SimdSoftmax#grad] needs of each query, panel by panel; the first pass computes
        /// delta.
        private void statistics(float[] w, int stats, int columns, int h, int row0, int i0, int rows, boolean first) {
            int D = s.D();
            int H = s.H();
            int NR = simd.tiles().tileCols();
            Arrays.fill(w, stats, stats + 3 * columns, 0f);
            for (int r = 0; r < rows; r++) {
                int row = (row0 + i0 + r) * H + h;
                if (first)
                    delta.f()[delta.off() + row] = simd.elements().dot(dOut.f(), dOut.off() + row * D, out.f(),
                            out.off() + row * D, D);
                int at = stats + r / NR * 3 * NR + r % NR;
                w[at] = lse.f()[lse.off() + row];
                w[at + NR] = delta.f()[delta.off() + row];
            }
        }
    }
}
