package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Pooling, similarity and losses of heads.
final class HeadKernels {
    private HeadKernels() {
    }

    /// `out[r] = mean of x[i] over from[r] <= i < to[r]`: x (N,C), out (R,C).
    static void meanOfRows(IntArray at, int slot, FloatArray x, IntArray from, IntArray to, FloatArray out, int R,
            int C) {
        int xAt = at.get(slot);
        int fromAt = at.get(slot + 1);
        int toAt = at.get(slot + 2);
        int outAt = at.get(slot + 3);
        for (@Parallel int r = 0; r < (R & ALL); r++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                int first = from.get(fromAt + r);
                int last = to.get(toAt + r);
                float sum = 0f;
                for (int i = first; i < last; i++)
                    sum += x.get(xAt + i * C + c);
                out.set(outAt + r * C + c, sum / (last - first));
            }
    }

    /// `dX[i] = sum of dOut[r] / (to[r] - from[r]) over r with from[r] <= i < to[r]`.
    static void meanOfRowsGrad(IntArray at, int slot, FloatArray dOut, IntArray from, IntArray to, FloatArray dX, int N,
            int R, int C) {
        int dOutAt = at.get(slot);
        int fromAt = at.get(slot + 1);
        int toAt = at.get(slot + 2);
        int dXAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < (N & ALL); i++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                float sum = 0f;
                for (int r = 0; r < R; r++) {
                    int first = from.get(fromAt + r);
                    int last = to.get(toAt + r);
                    if (first <= i && i < last)
                        sum += dOut.get(dOutAt + r * C + c) / (last - first);
                }
                dX.set(dXAt + i * C + c, sum);
            }
    }

    /// `out[i] = x[i] . y[i]`: x, y (N,C).
    static void rowProducts(IntArray at, int slot, FloatArray x, FloatArray y, FloatArray out, int N, int C) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            float sum = 0f;
            for (int c = 0; c < C; c++)
                sum += x.get(xAt + n * C + c) * y.get(yAt + n * C + c);
            out.set(outAt + n, sum);
        }
    }

    /// `y[i] (+)= s[i] x[i]`: x, y (N,C).
    static void scaleRows(IntArray at, int slot, FloatArray x, FloatArray s, FloatArray y, int N, int C,
            int accumulate) {
        int xAt = at.get(slot);
        int sAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < N * C; i++) {
            float old = accumulate != 0 ? y.get(yAt + i) : 0f;
            y.set(yAt + i, old + s.get(sAt + i / C) * x.get(xAt + i));
        }
    }

    /// [dev.gyre.kernels.op.HeadOps.BinaryCrossEntropy]; logits are replaced by their gradient if `gradient` is not 0.
    static void binaryLoss(IntArray at, int slot, FloatArray targets, FloatArray factor, FloatArray logits,
            FloatArray rowLoss, int N, int V, int gradient) {
        int targetsAt = at.get(slot);
        int factorAt = at.get(slot + 1);
        int logitsAt = at.get(slot + 2);
        int rowLossAt = at.get(slot + 3);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            float loss = 0f;
            for (int v = 0; v < V; v++) {
                float z = logits.get(logitsAt + n * V + v);
                float t = targets.get(targetsAt + n * V + v);
                float e = TornadoMath.exp(TornadoMath.max(-TornadoMath.abs(z), -80f));
                loss += TornadoMath.max(z, 0f) - z * t + TornadoMath.log(1f + e);
                float up = z < 0f ? e : 1f;
                if (gradient != 0)
                    logits.set(logitsAt + n * V + v, (up / (1f + e) - t) / V * factor.get(factorAt));
            }
            rowLoss.set(rowLossAt + n, loss / V);
        }
    }

    /// [dev.gyre.kernels.op.HeadOps.SquaredError]; y is replaced by its gradient if `gradient` is not 0.
    static void squaredLoss(IntArray at, int slot, FloatArray targets, FloatArray factor, FloatArray y,
            FloatArray rowLoss, int N, int V, int gradient) {
        int targetsAt = at.get(slot);
        int factorAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        int rowLossAt = at.get(slot + 3);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            float loss = 0f;
            for (int v = 0; v < V; v++) {
                float d = y.get(yAt + n * V + v) - targets.get(targetsAt + n * V + v);
                loss += d * d;
                if (gradient != 0)
                    y.set(yAt + n * V + v, 2f * d / V * factor.get(factorAt));
            }
            rowLoss.set(rowLossAt + n, loss / V);
        }
    }
}
