package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Causal attention with grouped key/value heads, keys streamed with a running maximum: there is no T x T matrix. Query
/// i of a sequence sees keys `max(start[i], i - window + 1) .. i`. `at` holds the first element of each array argument
/// before it, in their order, since a kernel takes at most 20 arguments.
final class AttentionKernels {
    private AttentionKernels() {
    }

    /// `out = softmax(scale q k^T) v` and `lse = log sum exp` per row and head: q, out (N, H*D), k, v (N, KV*D), lse (N,H).
    static void attend(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray start, FloatArray out,
            FloatArray lse, int N, int T, int H, int KV, int D, float scale, int window) {
        for (@Parallel int n = 0; n < (N & ALL); n++)
            for (@Parallel int h = 0; h < (H & ALL); h++) {
                int i = n % T;
                int first = firstKey(start.get(at.get(slot + 3) + n), i, window);
                int qi = at.get(slot) + (n * H + h) * D;
                int oi = at.get(slot + 4) + (n * H + h) * D;
                int group = h / (H / KV);
                for (int c = 0; c < D; c++)
                    out.set(oi + c, 0f);
                float max = -1e30f;
                float sum = 0f;
                for (int j = first; j <= i; j++) {
                    int row = ((n - i + j) * KV + group) * D;
                    float score = scale * inner(q, qi, k, at.get(slot + 1) + row, D);
                    float newMax = TornadoMath.max(max, score);
                    float shrink = TornadoMath.exp(max - newMax);
                    float p = TornadoMath.exp(score - newMax);
                    sum = sum * shrink + p;
                    for (int c = 0; c < D; c++)
                        out.set(oi + c, out.get(oi + c) * shrink + p * v.get(at.get(slot + 2) + row + c));
                    max = newMax;
                }
                for (int c = 0; c < D; c++)
                    out.set(oi + c, out.get(oi + c) / sum);
                lse.set(at.get(slot + 5) + n * H + h, max + TornadoMath.log(sum));
            }
    }

    /// `delta = sum over D of dOut out`, per row and head: the term that the softmax's gradient subtracts.
    static void outputDot(IntArray at, int slot, FloatArray out, FloatArray dOut, FloatArray delta, int rows, int D) {
        int outAt = at.get(slot);
        int dOutAt = at.get(slot + 1);
        int deltaAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (rows & ALL); i++)
            delta.set(deltaAt + i, inner(out, outAt + i * D, dOut, dOutAt + i * D, D));
    }

    /// `dQ[i] = scale sum over keys j of p (dOut v[j] - delta) k[j]` with `p = exp(scale q[i] k[j] - lse)`.
    static void queryGrad(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray start,
            FloatArray lse, FloatArray dOut, FloatArray delta, FloatArray dQ, int N, int T, int H, int KV, int D,
            float scale, int window) {
        for (@Parallel int n = 0; n < (N & ALL); n++)
            for (@Parallel int h = 0; h < (H & ALL); h++) {
                int i = n % T;
                int first = firstKey(start.get(at.get(slot + 3) + n), i, window);
                int head = n * H + h;
                int group = h / (H / KV);
                float l = lse.get(at.get(slot + 4) + head);
                float d = delta.get(at.get(slot + 6) + head);
                for (int c = 0; c < D; c++)
                    dQ.set(at.get(slot + 7) + head * D + c, 0f);
                for (int j = first; j <= i; j++) {
                    int row = ((n - i + j) * KV + group) * D;
                    float p = TornadoMath
                            .exp(scale * inner(q, at.get(slot) + head * D, k, at.get(slot + 1) + row, D) - l);
                    float dP = inner(dOut, at.get(slot + 5) + head * D, v, at.get(slot + 2) + row, D);
                    float dScore = scale * p * (dP - d);
                    for (int c = 0; c < D; c++) {
                        int o = at.get(slot + 7) + head * D + c;
                        dQ.set(o, dQ.get(o) + dScore * k.get(at.get(slot + 1) + row + c));
                    }
                }
            }
    }

    /// `dK[j] = scale sum over queries i and heads of p (dOut v[j] - delta) q[i]`, `dV[j] = sum of p dOut[i]`: one work item
    /// per key and key/value head, going over the queries that see it.
    static void keyValueGrad(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray start,
            FloatArray lse, FloatArray dOut, FloatArray delta, FloatArray dK, FloatArray dV, int N, int T, int H,
            int KV, int D, float scale, int window) {
        for (@Parallel int n = 0; n < (N & ALL); n++)
            for (@Parallel int g = 0; g < (KV & ALL); g++) {
                int j = n % T;
                int row = (n * KV + g) * D;
                int heads = H / KV;
                int last = window > 0 ? TornadoMath.min(T - 1, j + window - 1) : T - 1;
                for (int c = 0; c < D; c++) {
                    dK.set(at.get(slot + 7) + row + c, 0f);
                    dV.set(at.get(slot + 8) + row + c, 0f);
                }
                for (int i = j; i <= last; i++) {
                    int m = n - j + i;
                    if (start.get(at.get(slot + 3) + m) <= j)
                        for (int h = g * heads; h < (g + 1) * heads; h++) {
                            int head = m * H + h;
                            float score = scale * inner(q, at.get(slot) + head * D, k, at.get(slot + 1) + row, D);
                            float p = TornadoMath.exp(score - lse.get(at.get(slot + 4) + head));
                            float dP = inner(dOut, at.get(slot + 5) + head * D, v, at.get(slot + 2) + row, D);
                            float dScore = scale * p * (dP - delta.get(at.get(slot + 6) + head));
                            for (int c = 0; c < D; c++) {
                                int ok = at.get(slot + 7) + row + c;
                                int ov = at.get(slot + 8) + row + c;
                                dK.set(ok, dK.get(ok) + dScore * q.get(at.get(slot) + head * D + c));
                                dV.set(ov, dV.get(ov) + p * dOut.get(at.get(slot + 5) + head * D + c));
                            }
                        }
                }
            }
    }

    /// Stores T new rows (T,C) in a cache (P,C), row i in row `rows[T + i]`.
    static void cacheRows(IntArray at, int slot, FloatArray x, FloatArray cache, IntArray rows, int T, int C) {
        int xAt = at.get(slot);
        int cacheAt = at.get(slot + 1);
        int ownAt = at.get(slot + 2) + T;
        for (@Parallel int i = 0; i < T * C; i++)
            cache.set(cacheAt + rows.get(ownAt + i / C) * C + i % C, x.get(xAt + i));
    }

    /// [#attend] of T new queries over the cached keys and values (P, KV*D) from row `rows[i]` to row `rows[T + i]`.
    static void attendCache(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray rows,
            FloatArray out, int T, int H, int KV, int D, float scale, int window) {
        for (@Parallel int n = 0; n < (T & ALL); n++)
            for (@Parallel int h = 0; h < (H & ALL); h++) {
                int i = rows.get(at.get(slot + 3) + T + n);
                int first = firstKey(rows.get(at.get(slot + 3) + n), i, window);
                int qi = at.get(slot) + (n * H + h) * D;
                int oi = at.get(slot + 4) + (n * H + h) * D;
                int group = h / (H / KV);
                for (int c = 0; c < D; c++)
                    out.set(oi + c, 0f);
                float max = -1e30f;
                float sum = 0f;
                for (int j = first; j <= i; j++) {
                    int row = (j * KV + group) * D;
                    float score = scale * inner(q, qi, k, at.get(slot + 1) + row, D);
                    float newMax = TornadoMath.max(max, score);
                    float shrink = TornadoMath.exp(max - newMax);
                    float p = TornadoMath.exp(score - newMax);
                    sum = sum * shrink + p;
                    for (int c = 0; c < D; c++)
                        out.set(oi + c, out.get(oi + c) * shrink + p * v.get(at.get(slot + 2) + row + c));
                    max = newMax;
                }
                for (int c = 0; c < D; c++)
                    out.set(oi + c, out.get(oi + c) / sum);
            }
    }

    static int firstKey(int start, int i, int window) {
        return window > 0 ? TornadoMath.max(start, i - window + 1) : start;
    }

    private static float inner(FloatArray x, int xAt, FloatArray y, int yAt, int D) {
        float sum = 0f;
        for (int c = 0; c < D; c++)
            sum += x.get(xAt + c) * y.get(yAt + c);
        return sum;
    }
}
