package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// DeBERTa's attention ([dev.gyre.kernels.op.DisentangledOps]). After the offsets of the arrays come two numbers that say
/// whether posK and posQ count; an absent one is any other array.
final class DisentangledKernels {
    private DisentangledKernels() {
    }

    /// `out = softmax(scores) v` and `lse = log sum exp` per row and head.
    static void disentangled(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, FloatArray posK,
            FloatArray posQ, IntArray index, IntArray mirror, IntArray start, IntArray end, FloatArray out,
            FloatArray lse, int N, int T, int H, int D, float scale) {
        for (@Parallel int n = 0; n < (N & ALL); n++)
            for (@Parallel int h = 0; h < (H & ALL); h++) {
                int i = n % T;
                int first = start.get(at.get(slot + 7) + n);
                int last = end.get(at.get(slot + 8) + n);
                int qi = at.get(slot) + (n * H + h) * D;
                int oi = at.get(slot + 9) + (n * H + h) * D;
                for (int c = 0; c < D; c++)
                    out.set(oi + c, 0f);
                float max = -1e30f;
                float sum = 0f;
                for (int j = first; j < last; j++) {
                    int row = ((n - i + j) * H + h) * D;
                    int byKey = index.get(at.get(slot + 5) + i - j + T - 1) * H * D + h * D;
                    int byQuery = mirror.get(at.get(slot + 6) + i - j + T - 1) * H * D + h * D;
                    float score = inner(q, qi, k, at.get(slot + 1) + row, D);
                    if (at.get(slot + 11) != 0)
                        score += inner(q, qi, posK, at.get(slot + 3) + byKey, D);
                    if (at.get(slot + 12) != 0)
                        score += inner(k, at.get(slot + 1) + row, posQ, at.get(slot + 4) + byQuery, D);
                    score *= scale;
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
                lse.set(at.get(slot + 10) + n * H + h, max + TornadoMath.log(sum));
            }
    }

    /// The gradient of every score, `scale p (dOut . v - delta)`, and its probability: dS, p (N, H, T); 0 for keys that are
    /// not seen.
    static void disentangledScores(IntArray at, int slot, FloatArray q, FloatArray k, FloatArray v, FloatArray posK,
            FloatArray posQ, IntArray index, IntArray mirror, IntArray start, IntArray end, FloatArray lse,
            FloatArray dOut, FloatArray delta, FloatArray dS, FloatArray p, int rows, int T, int H, float scale) {
        for (@Parallel int r = 0; r < (rows & ALL); r++)
            for (@Parallel int j = 0; j < (T & ALL); j++) {
                int n = r / H;
                int h = r % H;
                int i = n % T;
                int D = at.get(slot + 16);
                int row = at.get(slot + 1) + ((n - i + j) * H + h) * D;
                int qi = at.get(slot) + r * D;
                float prob = 0f;
                float change = 0f;
                if (start.get(at.get(slot + 7) + n) <= j && j < end.get(at.get(slot + 8) + n)) {
                    int byKey = index.get(at.get(slot + 5) + i - j + T - 1) * H * D + h * D;
                    int byQuery = mirror.get(at.get(slot + 6) + i - j + T - 1) * H * D + h * D;
                    float score = inner(q, qi, k, row, D);
                    if (at.get(slot + 14) != 0)
                        score += inner(q, qi, posK, at.get(slot + 3) + byKey, D);
                    if (at.get(slot + 15) != 0)
                        score += inner(k, row, posQ, at.get(slot + 4) + byQuery, D);
                    prob = TornadoMath.exp(scale * score - lse.get(at.get(slot + 9) + r));
                    float dP = inner(dOut, at.get(slot + 10) + r * D, v,
                            at.get(slot + 2) + ((n - i + j) * H + h) * D, D);
                    change = scale * prob * (dP - delta.get(at.get(slot + 11) + r));
                }
                dS.set(at.get(slot + 12) + r * T + j, change);
                p.set(at.get(slot + 13) + r * T + j, prob);
            }
    }

    /// `dQ[i] = sum over j of dS (k[j] + posK[index(i - j)])`, an item for each element.
    static void disentangledQueryGrad(IntArray at, int slot, FloatArray dS, FloatArray k, FloatArray posK,
            IntArray index, FloatArray dQ, int rows, int T, int H, int D) {
        for (@Parallel int r = 0; r < (rows & ALL); r++)
            for (@Parallel int c = 0; c < (D & ALL); c++) {
                int n = r / H;
                int h = r % H;
                int i = n % T;
                float sum = 0f;
                for (int j = 0; j < T; j++) {
                    float factor = k.get(at.get(slot + 1) + ((n - i + j) * H + h) * D + c);
                    if (at.get(slot + 5) != 0)
                        factor += posK.get(
                                at.get(slot + 2) + (index.get(at.get(slot + 3) + i - j + T - 1) * H + h) * D + c);
                    sum += dS.get(at.get(slot) + r * T + j) * factor;
                }
                dQ.set(at.get(slot + 4) + r * D + c, sum);
            }
    }

    /// `dK[j] = sum over i of dS (q[i] + posQ[mirror(i - j)])`, `dV[j] = sum over i of p dOut[i]`.
    static void disentangledKeyGrad(IntArray at, int slot, FloatArray dS, FloatArray p, FloatArray q, FloatArray dOut,
            FloatArray posQ, IntArray mirror, FloatArray dK, FloatArray dV, int rows, int T, int H, int D) {
        for (@Parallel int r = 0; r < (rows & ALL); r++)
            for (@Parallel int c = 0; c < (D & ALL); c++) {
                int n = r / H;
                int h = r % H;
                int j = n % T;
                float key = 0f;
                float value = 0f;
                for (int i = 0; i < T; i++) {
                    int own = (n - j + i) * H + h;
                    float factor = q.get(at.get(slot + 2) + own * D + c);
                    if (at.get(slot + 8) != 0)
                        factor += posQ.get(
                                at.get(slot + 4) + (mirror.get(at.get(slot + 5) + i - j + T - 1) * H + h) * D + c);
                    key += dS.get(at.get(slot) + own * T + j) * factor;
                    value += p.get(at.get(slot + 1) + own * T + j) * dOut.get(at.get(slot + 3) + own * D + c);
                }
                dK.set(at.get(slot + 6) + r * D + c, key);
                dV.set(at.get(slot + 7) + r * D + c, value);
            }
    }

    /// `dPos[r] = sum of dS x over the pairs (i, j) whose distance has index r`, x the query (`ofKeys` 0) or the key.
    static void positionGrad(IntArray at, int slot, FloatArray dS, FloatArray x, IntArray index, FloatArray dPos,
            int positions, int B, int T, int H, int D, int ofKeys) {
        int wide = H * D;
        for (@Parallel int r = 0; r < (positions & ALL); r++)
            for (@Parallel int e = 0; e < (wide & ALL); e++) {
                int h = e / D;
                float sum = 0f;
                for (int d = 0; d < 2 * T - 1; d++)
                    if (index.get(at.get(slot + 2) + d) == r) {
                        int first = TornadoMath.max(0, d - T + 1);
                        int last = TornadoMath.min(T - 1, d);
                        for (int b = 0; b < B; b++)
                            for (int i = first; i <= last; i++) {
                                int j = i - d + T - 1;
                                int row = b * T + (ofKeys != 0 ? j : i);
                                sum += dS.get(at.get(slot) + ((b * T + i) * H + h) * T + j)
                                        * x.get(at.get(slot + 1) + row * wide + e);
                            }
                    }
                dPos.set(at.get(slot + 3) + r * wide + e, sum);
            }
    }

    private static float inner(FloatArray x, int xAt, FloatArray y, int yAt, int D) {
        float sum = 0f;
        for (int c = 0; c < D; c++)
            sum += x.get(xAt + c) * y.get(yAt + c);
        return sum;
    }
}
