package dev.gyre.kernels.cpu;

import dev.gyre.kernels.Op;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Causal attention with grouped key/value heads, its gradient, the key/value cache, and rotary embedding.
///
/// Keys go by in tiles: the scores of a tile of queries against a tile of keys are all that is ever held. An item of the
/// forward pass is one tile of queries of one key/value head with all the query heads that share it, so a tile of
/// keys is transposed once for the group.
final class Attentions {
    private static final int QUERIES = 64;
    private static final int KEYS = 64;

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

    /// Queries i0..i1-1 of one sequence, whose first row is `row0` and whose first query has position `first`.
    private static void forward(Cpu cpu, Simd simd, Heads s, View q, View k, View v, @Nullable View start, int row0,
            int first, int i0, int i1, int kv, View out, @Nullable View lse, int worker) {
        int D = s.D();
        int G = s.group();
        int qd = s.H() * D;
        int kd = s.KV() * D;
        int rows = i1 - i0;
        // keys transposed, scaled queries, scores, output, running maximum and sum
        float[] w = cpu.scratch(worker, 0, D * KEYS + 2 * G * QUERIES * D + QUERIES * KEYS + 2 * G * QUERIES);
        int queries = D * KEYS;
        int scores = queries + G * QUERIES * D;
        int sums = scores + QUERIES * KEYS;
        int max = sums + G * QUERIES * D;
        int den = max + G * QUERIES;
        Arrays.fill(w, sums, max, 0f);
        Arrays.fill(w, max, den, Float.NEGATIVE_INFINITY);
        Arrays.fill(w, den, den + G * QUERIES, 0f);
        int low = Integer.MAX_VALUE;
        for (int r = 0; r < rows; r++)
            low = Math.min(low, s.low(first + i0 + r, start(start, row0 + i0 + r)));
        for (int g = 0; g < G; g++)
            for (int r = 0; r < rows; r++)
                simd.scale(s.scale(), q.f(), q.off() + (row0 + i0 + r) * qd + (kv * G + g) * D, w,
                        queries + (g * QUERIES + r) * D, D);
        for (int j0 = low; j0 < first + i1; j0 += KEYS) {
            int n = Math.min(KEYS, first + i1 - j0);
            int at = (row0 + j0) * kd + kv * D;
            simd.transpose(k.f(), k.off() + at, kd, n, D, w, 0, KEYS);
            for (int g = 0; g < G; g++) {
                simd.mulAdd(rows, n, D, w, queries + g * QUERIES * D, D, 1, w, 0, KEYS, w, scores, KEYS, false);
                for (int r = 0; r < rows; r++) {
                    int pos = first + i0 + r;
                    int from = Math.max(0, s.low(pos, start(start, row0 + i0 + r)) - j0);
                    int to = Math.min(n, pos + 1 - j0);
                    softmaxStep(simd, w, scores + r * KEYS, from, to, n, max + g * QUERIES + r, den + g * QUERIES + r,
                            sums + (g * QUERIES + r) * D, D);
                }
                simd.mulAdd(rows, D, n, w, scores, KEYS, 1, v.f(), v.off() + at, kd, w, sums + g * QUERIES * D, D,
                        true);
            }
        }
        for (int g = 0; g < G; g++)
            for (int r = 0; r < rows; r++) {
                int h = kv * G + g;
                float d = w[den + g * QUERIES + r];
                simd.scale(1 / d, w, sums + (g * QUERIES + r) * D, out.f(),
                        out.off() + (row0 + i0 + r) * qd + h * D, D);
                if (lse != null)
                    lse.f()[lse.off() + (row0 + i0 + r) * s.H() + h] = (float) (w[max + g * QUERIES + r]
                            + Math.log(d));
            }
    }

    private static int start(@Nullable View start, int row) {
        return start == null ? 0 : start.i()[start.off() + row];
    }

    /// Scores `from..to-1` of a row become `exp(score - max)`, the others 0; running maximum, denominator and the sum of
    /// values follow.
    private static void softmaxStep(Simd simd, float[] w, int row, int from, int to, int n, int max, int den, int sum,
            int D) {
        if (to <= from) {
            Arrays.fill(w, row, row + n, 0f);
            return;
        }
        float old = w[max];
        float now = Math.max(old, simd.max(w, row + from, to - from));
        double added = simd.expInPlace(w, row + from, now, to - from);
        if (from > 0)
            Arrays.fill(w, row, row + from, 0f);
        if (to < n)
            Arrays.fill(w, row + to, row + n, 0f);
        if (now != old) {
            float shrink = (float) Math.exp(old - now);
            w[den] *= shrink;
            simd.scale(shrink, w, sum, w, sum, D);
            w[max] = now;
        }
        w[den] += (float) added;
    }

    /// An item is one key/value head of one sequence with its group of query heads: nothing is shared between items, so
    /// dK and dV of grouped heads are summed in order. Five products per pair of tiles, as in the forward pass each
    /// pair is visited once.
    static Runnable attentionGrad(Cpu cpu, Simd simd, Op.AttentionGrad op, View q, View k, View v, View start, View out,
            View lse, View dOut, View delta, View dQ, View dK, View dV) {
        Heads s = new Heads(op.H(), op.KV(), op.D(), op.scale(), op.window());
        int T = op.T();
        int D = op.D();
        int G = s.group();
        int qd = op.H() * D;
        int kd = op.KV() * D;
        Cpu.Body body = (item, worker) -> {
            int kv = item % op.KV();
            int row0 = item / op.KV() * T;
            for (int t = row0; t < row0 + T; t++) {
                int own = t * kd + kv * D;
                Arrays.fill(dK.f(), dK.off() + own, dK.off() + own + D, 0f);
                Arrays.fill(dV.f(), dV.off() + own, dV.off() + own + D, 0f);
                for (int h = kv * G; h < (kv + 1) * G; h++) {
                    int at = t * qd + h * D;
                    Arrays.fill(dQ.f(), dQ.off() + at, dQ.off() + at + D, 0f);
                    delta.f()[delta.off() + t * op.H() + h] = simd.dot(dOut.f(), dOut.off() + at, out.f(),
                            out.off() + at, D);
                }
            }
            // keys and values transposed, scaled queries, probabilities, gradient of the scores
            float[] w = cpu.scratch(worker, 0, 2 * D * KEYS + QUERIES * D + 2 * QUERIES * KEYS);
            int values = D * KEYS;
            int queries = values + D * KEYS;
            int probs = queries + QUERIES * D;
            int grads = probs + QUERIES * KEYS;
            for (int j0 = 0; j0 < T; j0 += KEYS) {
                int n = Math.min(KEYS, T - j0);
                int key = (row0 + j0) * kd + kv * D;
                simd.transpose(k.f(), k.off() + key, kd, n, D, w, 0, KEYS);
                simd.transpose(v.f(), v.off() + key, kd, n, D, w, values, KEYS);
                for (int i0 = j0; i0 < T; i0 += QUERIES) {
                    int rows = Math.min(QUERIES, T - i0);
                    if (!meets(s, start, row0, i0, rows, j0, n))
                        continue;
                    for (int h = kv * G; h < (kv + 1) * G; h++) {
                        int at = (row0 + i0) * qd + h * D;
                        for (int r = 0; r < rows; r++)
                            simd.scale(op.scale(), q.f(), q.off() + at + r * qd, w, queries + r * D, D);
                        simd.mulAdd(rows, n, D, w, queries, D, 1, w, 0, KEYS, w, probs, KEYS, false);
                        simd.mulAdd(rows, n, D, dOut.f(), dOut.off() + at, qd, 1, w, values, KEYS, w, grads, KEYS,
                                false);
                        for (int r = 0; r < rows; r++) {
                            int row = row0 + i0 + r;
                            int from = Math.max(0, s.low(i0 + r, start(start, row)) - j0);
                            int to = Math.max(from, Math.min(n, i0 + r + 1 - j0));
                            int p = probs + r * KEYS;
                            int d = grads + r * KEYS;
                            int stat = row * op.H() + h;
                            from = Math.min(from, n);
                            to = Math.min(to, n);
                            simd.expInPlace(w, p + from, lse.f()[lse.off() + stat], to - from);
                            simd.softmaxGrad(op.scale(), delta.f()[delta.off() + stat], w, p + from, w, d + from,
                                    to - from);
                            clear(w, p, from, to, n);
                            clear(w, d, from, to, n);
                        }
                        simd.mulAdd(n, D, rows, w, probs, 1, KEYS, dOut.f(), dOut.off() + at, qd, dV.f(),
                                dV.off() + key, kd, true);
                        simd.mulAdd(n, D, rows, w, grads, 1, KEYS, q.f(), q.off() + at, qd, dK.f(), dK.off() + key, kd,
                                true);
                        simd.mulAdd(rows, D, n, w, grads, KEYS, 1, k.f(), k.off() + key, kd, dQ.f(), dQ.off() + at, qd,
                                true);
                    }
                }
            }
        };
        return () -> cpu.forEach(op.B() * op.KV(), body);
    }

    private static void clear(float[] w, int row, int from, int to, int n) {
        Arrays.fill(w, row, row + from, 0f);
        Arrays.fill(w, row + to, row + n, 0f);
    }

    /// Whether any of the queries sees any of the keys j0..j0+n-1.
    private static boolean meets(Heads s, View start, int row0, int i0, int rows, int j0, int n) {
        for (int i = i0; i < i0 + rows; i++)
            if (i >= j0 && s.low(i, start(start, row0 + i)) < j0 + n)
                return true;
        return false;
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
