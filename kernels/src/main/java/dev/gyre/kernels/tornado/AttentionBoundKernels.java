package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.AttentionKernels.firstKey;
import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// [AttentionKernels] in both directions, and with a cap on the scores. Query i of a sequence sees keys `start[i] ..
/// end[i] - 1` if `bounded`, else the keys that it sees in causal attention; with `cap > 0` scores become
/// `cap tanh(score / cap)`.
final class AttentionBoundKernels {
    private AttentionBoundKernels() {
    }

    /// [AttentionKernels#attend]
    static void attendBound(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray start,
            IntArray end, FloatArray out, FloatArray lse, int N, int T, int H, int KV, int D, float scale, int window,
            int bounded, float cap) {
        for (@Parallel int n = 0; n < (N & ALL); n++)
            for (@Parallel int h = 0; h < (H & ALL); h++) {
                int i = n % T;
                int first = firstKey(start.get(at.get(slot + 3) + n), i, window);
                int last = bounded != 0 ? end.get(at.get(slot + 4) + n) : i + 1;
                int qi = at.get(slot) + (n * H + h) * D;
                int oi = at.get(slot + 5) + (n * H + h) * D;
                int group = h / (H / KV);
                for (int c = 0; c < D; c++)
                    out.set(oi + c, 0f);
                float max = -1e30f;
                float sum = 0f;
                for (int j = first; j < last; j++) {
                    int row = ((n - i + j) * KV + group) * D;
                    float score = capped(scale * inner(q, qi, k, at.get(slot + 1) + row, D), cap);
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
                lse.set(at.get(slot + 6) + n * H + h, max + TornadoMath.log(sum));
            }
    }

    /// [AttentionKernels#queryGrad]; `bounded` is the number after the offsets.
    static void queryGradBound(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray start,
            IntArray end, FloatArray lse, FloatArray dOut, FloatArray delta, FloatArray dQ, int N, int T, int H, int KV,
            int D, float scale, int window, float cap) {
        for (@Parallel int n = 0; n < (N & ALL); n++)
            for (@Parallel int h = 0; h < (H & ALL); h++) {
                int i = n % T;
                int first = firstKey(start.get(at.get(slot + 3) + n), i, window);
                int last = at.get(slot + 9) != 0 ? end.get(at.get(slot + 4) + n) : i + 1;
                int head = n * H + h;
                int group = h / (H / KV);
                float l = lse.get(at.get(slot + 5) + head);
                float d = delta.get(at.get(slot + 7) + head);
                for (int c = 0; c < D; c++)
                    dQ.set(at.get(slot + 8) + head * D + c, 0f);
                for (int j = first; j < last; j++) {
                    int row = ((n - i + j) * KV + group) * D;
                    float score = capped(scale * inner(q, at.get(slot) + head * D, k, at.get(slot + 1) + row, D), cap);
                    float dP = inner(dOut, at.get(slot + 6) + head * D, v, at.get(slot + 2) + row, D);
                    float dScore = scale * slope(score, cap) * TornadoMath.exp(score - l) * (dP - d);
                    for (int c = 0; c < D; c++) {
                        int o = at.get(slot + 8) + head * D + c;
                        dQ.set(o, dQ.get(o) + dScore * k.get(at.get(slot + 1) + row + c));
                    }
                }
            }
    }

    /// [AttentionKernels#keyValueGrad]; `bounded` and H / KV are the numbers after the offsets.
    static void keyValueGradBound(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray start,
            IntArray end, FloatArray lse, FloatArray dOut, FloatArray delta, FloatArray dK, FloatArray dV, int N, int T,
            int KV, int D, float scale, int window, float cap) {
        for (@Parallel int n = 0; n < (N & ALL); n++)
            for (@Parallel int g = 0; g < (KV & ALL); g++) {
                int j = n % T;
                int row = (n * KV + g) * D;
                int bounded = at.get(slot + 10);
                int heads = at.get(slot + 11);
                int first = bounded != 0 ? 0 : j;
                int last = bounded == 0 && window > 0 ? TornadoMath.min(T - 1, j + window - 1) : T - 1;
                for (int c = 0; c < D; c++) {
                    dK.set(at.get(slot + 8) + row + c, 0f);
                    dV.set(at.get(slot + 9) + row + c, 0f);
                }
                for (int i = first; i <= last; i++) {
                    int m = n - j + i;
                    int high = bounded != 0 ? end.get(at.get(slot + 4) + m) : T;
                    if (start.get(at.get(slot + 3) + m) <= j && j < high)
                        for (int h = g * heads; h < (g + 1) * heads; h++) {
                            int head = m * KV * heads + h;
                            float score = capped(
                                    scale * inner(q, at.get(slot) + head * D, k, at.get(slot + 1) + row, D), cap);
                            float p = TornadoMath.exp(score - lse.get(at.get(slot + 5) + head));
                            float dP = inner(dOut, at.get(slot + 6) + head * D, v, at.get(slot + 2) + row, D);
                            float dScore = scale * slope(score, cap) * p * (dP - delta.get(at.get(slot + 7) + head));
                            for (int c = 0; c < D; c++) {
                                int ok = at.get(slot + 8) + row + c;
                                int ov = at.get(slot + 9) + row + c;
                                dK.set(ok, dK.get(ok) + dScore * q.get(at.get(slot) + head * D + c));
                                dV.set(ov, dV.get(ov) + p * dOut.get(at.get(slot + 6) + head * D + c));
                            }
                        }
                }
            }
    }

    /// [AttentionKernels#attendCache]
    static void attendCacheCapped(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, IntArray rows,
            FloatArray out, int T, int H, int KV, int D, float scale, int window, float cap) {
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
                    float score = capped(scale * inner(q, qi, k, at.get(slot + 1) + row, D), cap);
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

    private static float capped(float score, float cap) {
        return cap > 0f ? cap * ActivationKernels.hyperbolicTangent(score / cap) : score;
    }

    /// The derivative of [#capped], of its result.
    private static float slope(float score, float cap) {
        return cap > 0f ? 1f - score / cap * (score / cap) : 1f;
    }

    private static float inner(FloatArray x, int xAt, FloatArray y, int yAt, int D) {
        float sum = 0f;
        for (int c = 0; c < D; c++)
            sum += x.get(xAt + c) * y.get(yAt + c);
        return sum;
    }
}
