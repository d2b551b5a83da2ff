package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Op;
import java.util.Arrays;

/// The key/value cache and attention over it. Queries are few and keys are many, so nothing is packed: scores are
/// [SimdTiles#dots] of the query heads of a group with a row of keys, and the output a sum of rows of values. Each query
/// is computed by itself, in an order that depends on nothing but its own range of rows; so a token gets the same bits alone
/// and among others.
final class CacheCpu {
    /// Values that are summed before they are added to the output.
    private static final int VALUES = 64;

    private CacheCpu() {
    }

    private static void check(Op op, int first, int own, int P) {
        if (first < 0 || first > own || own >= P)
            throw new IllegalArgumentException(
                    "rows " + first + ".." + own + " are outside the cache of " + P + " rows (" + op + ")");
    }

    private static void check(Op op, Operand rows, int T, int P) {
        for (int i = 0; i < T; i++)
            check(op, rows.i()[rows.off() + i], rows.i()[rows.off() + T + i], P);
    }

    static Runnable store(AttentionOps.CacheStore op, Operand k, Operand v, Operand kCache, Operand vCache,
            Operand rows) {
        int T = op.T();
        int C = op.C();
        return () -> {
            check(op, rows, T, op.P());
            for (int i = 0; i < T; i++) {
                int row = rows.i()[rows.off() + T + i] * C;
                System.arraycopy(k.f(), k.off() + i * C, kCache.f(), kCache.off() + row, C);
                System.arraycopy(v.f(), v.off() + i * C, vCache.f(), vCache.off() + row, C);
            }
        };
    }

    /// `scores = q K^T` of a group's heads, softmax, `out = scores V`; items own a query and a key/value head.
    static Runnable attention(ThreadPool pool, Simd simd, AttentionOps.CachedAttention op, Operand q, Operand kCache,
            Operand vCache, Operand rows, Operand out) {
        int T = op.T();
        int D = op.D();
        int KV = op.KV();
        int G = op.H() / KV;
        float cap = (float) op.softCap();
        ThreadPool.Body body = (item, worker) -> {
            int i = item / KV;
            int kv = item % KV;
            int own = rows.i()[rows.off() + T + i];
            int first = rows.i()[rows.off() + i];
            if (op.window() > 0)
                first = Math.max(first, own - op.window() + 1);
            int n = own - first + 1;
            int at = (i * op.H() + kv * G) * D;
            int row = first * KV * D + kv * D;
            float[] near = pool.scratch(worker, 0, G * D);
            float[] scores = pool.scratch(worker, 1, G * n);
            simd.elements().scale((float) op.scale(), q.f(), q.off() + at, near, 0, G * D);
            simd.tiles().dots(G, n, D, near, 0, D, kCache.f(), kCache.off() + row, KV * D, scores, 0, n);
            if (cap > 0)
                simd.activations().cap(cap, scores, 0, G * n);
            Arrays.fill(near, 0, G * D, 0f);
            float[] sums = pool.scratch(worker, 2, G);
            for (int g = 0; g < G; g++)
                sums[g] = (float) simd.softmax().expInPlace(scores, g * n, simd.elements().max(scores, g * n, n), n);
            for (int j = 0; j < n; j += VALUES)
                simd.tiles().mulAdd(G, D, Math.min(VALUES, n - j), scores, j, n, 1, vCache.f(),
                        vCache.off() + row + j * KV * D, KV * D, near, 0, D, true);
            for (int g = 0; g < G; g++)
                simd.elements().scale(1 / sums[g], near, g * D, out.f(), out.off() + at + g * D, D);
        };
        return () -> {
            check(op, rows, T, op.P());
            pool.forEach(T * KV, body);
        };
    }
}
