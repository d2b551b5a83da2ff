package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import org.jspecify.annotations.Nullable;

/// Attention with grouped key/value heads, causal with a window and packed examples or in both directions within bounds,
/// with or without a cap on its scores; and attention over a cache.
final class AttentionRef {
    private AttentionRef() {
    }

    static void run(AttentionOps op, Operands of) {
        switch (op) {
            case AttentionOps.Attention o ->
                    forward(of.vec(o.q()), of.vec(o.k()), of.vec(o.v()), of.ints(o.start()), ends(o.end(), of),
                            of.vec(o.out()), of.vec(o.lse()), o.B(), o.T(), o.H(), o.KV(), o.D(), o.scale(),
                            o.window(), o.softCap());
            case AttentionOps.AttentionGrad o ->
                    backward(of.vec(o.q()), of.vec(o.k()), of.vec(o.v()), of.ints(o.start()), ends(o.end(), of),
                            of.vec(o.out()), of.vec(o.lse()), of.vec(o.dOut()), of.vec(o.delta()), of.vec(o.dQ()),
                            of.vec(o.dK()), of.vec(o.dV()), o.B(), o.T(), o.H(), o.KV(), o.D(), o.scale(), o.window(),
                            o.softCap());
            case AttentionOps.CacheStore(var k, var v, var kCache, var vCache, var rows, int T, int P, int C) ->
                    cacheStore(of.vec(k), of.vec(v), of.vec(kCache), of.vec(vCache), of.ints(rows), T, C);
            case AttentionOps.CachedAttention o ->
                    cached(of.vec(o.q()), of.vec(o.kCache()), of.vec(o.vCache()), of.ints(o.rows()), of.vec(o.out()),
                            o.T(), o.H(), o.KV(), o.D(), o.scale(), o.window(), o.softCap());
        }
    }

    private static int @Nullable [] ends(@Nullable Buf end, Operands of) {
        return end == null ? null : of.ints(end);
    }

    /// Last key that query i of row `row` sees.
    private static int lastKey(int @Nullable [] end, int row, int i) {
        return end == null ? i : end[row] - 1;
    }

    private static double capped(double score, double softCap) {
        return softCap > 0 ? softCap * Math.tanh(score / softCap) : score;
    }

    /// `s_j = scale q_i.k_j`, capped, `lse = log sum exp s`, `out_i = sum_j exp(s_j - lse) v_j` over the visible j.
    static void forward(Vec q, Vec k, Vec v, int[] start, int @Nullable [] end, Vec out, Vec lse, int B, int T, int H,
            int KV, int D, double scale, int window, double softCap) {
        for (int b = 0; b < B; b++)
            for (int i = 0; i < T; i++)
                for (int h = 0; h < H; h++) {
                    int row = b * T + i;
                    int first = firstKey(start[row], i, window);
                    int kvHead = h / (H / KV);
                    double l = attend(q.slice((row * H + h) * D, D), k, v, out.slice((row * H + h) * D, D), b * T,
                            first, lastKey(end, row, i), KV, kvHead, D, scale, softCap);
                    lse.set(row * H + h, l);
                }
    }

    /// `delta = dOut.out`; with `P = exp(s - lse)`: `dV_j += P dOut`, `dS = P (dOut.v_j - delta)`,
    /// `dQ += scale dS k_j`, `dK_j += scale dS q`; under a cap dS also has the factor `1 - (s / cap)^2`. Everything is
    /// overwritten.
    static void backward(Vec q, Vec k, Vec v, int[] start, int @Nullable [] end, Vec out, Vec lse, Vec dOut, Vec delta,
            Vec dQ, Vec dK, Vec dV, int B, int T, int H, int KV, int D, double scale, int window, double softCap) {
        dQ.fill(0);
        dK.fill(0);
        dV.fill(0);
        for (int b = 0; b < B; b++)
            for (int i = 0; i < T; i++)
                for (int h = 0; h < H; h++) {
                    int row = b * T + i;
                    int qAt = (row * H + h) * D;
                    double dl = 0;
                    for (int c = 0; c < D; c++)
                        dl += dOut.get(qAt + c) * out.get(qAt + c);
                    delta.set(row * H + h, dl);
                    for (int j = firstKey(start[row], i, window); j <= lastKey(end, row, i); j++) {
                        int kAt = ((b * T + j) * KV + h / (H / KV)) * D;
                        double s = 0;
                        double dP = 0;
                        for (int c = 0; c < D; c++) {
                            s += q.get(qAt + c) * k.get(kAt + c);
                            dP += dOut.get(qAt + c) * v.get(kAt + c);
                        }
                        double score = capped(scale * s, softCap);
                        double p = Math.exp(score - lse.get(row * H + h));
                        double slope = softCap > 0 ? 1 - score / softCap * (score / softCap) : 1;
                        double dS = p * (dP - dl) * slope;
                        for (int c = 0; c < D; c++) {
                            dV.add(kAt + c, p * dOut.get(qAt + c));
                            dQ.add(qAt + c, scale * dS * k.get(kAt + c));
                            dK.add(kAt + c, scale * dS * q.get(qAt + c));
                        }
                    }
                }
    }

    /// Row `rows[T + i]` of the caches becomes the new key and value i.
    static void cacheStore(Vec k, Vec v, Vec kCache, Vec vCache, int[] rows, int T, int C) {
        for (int i = 0; i < T; i++)
            for (int c = 0; c < C; c++) {
                kCache.set(rows[T + i] * C + c, k.get(i * C + c));
                vCache.set(rows[T + i] * C + c, v.get(i * C + c));
            }
    }

    /// Query i sees the cache rows from `rows[i]` to `rows[T + i]`.
    static void cached(Vec q, Vec kCache, Vec vCache, int[] rows, Vec out, int T, int H, int KV, int D,
            double scale, int window, double softCap) {
        for (int i = 0; i < T; i++)
            for (int h = 0; h < H; h++)
                attend(q.slice((i * H + h) * D, D), kCache, vCache, out.slice((i * H + h) * D, D), 0,
                        firstKey(rows[i], rows[T + i], window), rows[T + i], KV, h / (H / KV), D, scale, softCap);
    }

    private static int firstKey(int start, int i, int window) {
        return window > 0 ? Math.max(start, i - window + 1) : start;
    }

    /// One query over keys `first..last` of the sequence that begins at row `base`; returns the log of the denominator.
    private static double attend(Vec q, Vec k, Vec v, Vec out, int base, int first, int last, int KV, int kvHead,
            int D, double scale, double softCap) {
        double[] s = new double[last - first + 1];
        double max = Double.NEGATIVE_INFINITY;
        for (int j = first; j <= last; j++) {
            int kAt = ((base + j) * KV + kvHead) * D;
            double dot = 0;
            for (int c = 0; c < D; c++)
                dot += q.get(c) * k.get(kAt + c);
            s[j - first] = capped(scale * dot, softCap);
            max = Math.max(max, s[j - first]);
        }
        double sum = 0;
        for (double x : s)
            sum += Math.exp(x - max);
        double lse = max + Math.log(sum);
        out.fill(0);
        for (int j = first; j <= last; j++) {
            int vAt = ((base + j) * KV + kvHead) * D;
            double p = Math.exp(s[j - first] - lse);
            for (int c = 0; c < D; c++)
                out.add(c, p * v.get(vAt + c));
        }
        return lse;
    }
}
