package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Layer normalisation, `y = (x - mean) rstd * weight + bias` per row. A first task reduces each row to two values, a second
/// computes the elements.
final class LayerNormKernels {
    private LayerNormKernels() {
    }

    /// Mean and `rstd = 1/sqrt(variance + eps)` of each row of x (N,C).
    static void rowMoments(IntArray at, int slot, FloatArray x, FloatArray mean, FloatArray rstd, int N, int C,
            float eps) {
        int xAt = at.get(slot);
        int meanAt = at.get(slot + 1);
        int rstdAt = at.get(slot + 2);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            float sum = 0f;
            for (int c = 0; c < C; c++)
                sum += x.get(xAt + n * C + c);
            float m = sum / C;
            float squares = 0f;
            for (int c = 0; c < C; c++) {
                float d = x.get(xAt + n * C + c) - m;
                squares += d * d;
            }
            mean.set(meanAt + n, m);
            rstd.set(rstdAt + n, 1f / TornadoMath.sqrt(squares / C + eps));
        }
    }

    /// `y = (x - mean) rstd * weight + bias`; `biased` 0 leaves the bias out.
    static void centre(IntArray at, int slot, FloatArray x, FloatArray mean, FloatArray rstd, FloatArray weight,
            FloatArray bias, FloatArray y, int N, int C, int biased) {
        int xAt = at.get(slot);
        int meanAt = at.get(slot + 1);
        int rstdAt = at.get(slot + 2);
        int weightAt = at.get(slot + 3);
        int biasAt = at.get(slot + 4);
        int yAt = at.get(slot + 5);
        for (@Parallel int i = 0; i < N * C; i++) {
            float h = (x.get(xAt + i) - mean.get(meanAt + i / C)) * rstd.get(rstdAt + i / C);
            float b = biased != 0 ? bias.get(biasAt + i % C) : 0f;
            y.set(yAt + i, h * weight.get(weightAt + i % C) + b);
        }
    }

    /// `first[n] = mean of g`, `second[n] = mean of g h` with `g = dY weight` and `h = (x - mean) rstd`.
    static void gradMoments(IntArray at, int slot, FloatArray x, FloatArray weight, FloatArray mean, FloatArray rstd,
            FloatArray dY, FloatArray first, FloatArray second, int N, int C) {
        int xAt = at.get(slot);
        int weightAt = at.get(slot + 1);
        int meanAt = at.get(slot + 2);
        int rstdAt = at.get(slot + 3);
        int dYAt = at.get(slot + 4);
        int firstAt = at.get(slot + 5);
        int secondAt = at.get(slot + 6);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            float m = mean.get(meanAt + n);
            float a = 0f;
            float b = 0f;
            for (int c = 0; c < C; c++) {
                float g = dY.get(dYAt + n * C + c) * weight.get(weightAt + c);
                a += g;
                b += g * (x.get(xAt + n * C + c) - m);
            }
            first.set(firstAt + n, a / C);
            second.set(secondAt + n, b * rstd.get(rstdAt + n) / C);
        }
    }

    /// `dX (+)= rstd (g - first - h second)`
    static void centreGrad(IntArray at, int slot, FloatArray x, FloatArray weight, FloatArray mean, FloatArray rstd,
            FloatArray dY, FloatArray first, FloatArray second, FloatArray dX, int N, int C, int accumulate) {
        int xAt = at.get(slot);
        int weightAt = at.get(slot + 1);
        int meanAt = at.get(slot + 2);
        int rstdAt = at.get(slot + 3);
        int dYAt = at.get(slot + 4);
        int firstAt = at.get(slot + 5);
        int secondAt = at.get(slot + 6);
        int dXAt = at.get(slot + 7);
        for (@Parallel int i = 0; i < N * C; i++) {
            float r = rstd.get(rstdAt + i / C);
            float g = dY.get(dYAt + i) * weight.get(weightAt + i % C);
            float h = (x.get(xAt + i) - mean.get(meanAt + i / C)) * r;
            float old = accumulate != 0 ? dX.get(dXAt + i) : 0f;
            dX.set(dXAt + i, old + r * (g - first.get(firstAt + i / C) - h * second.get(secondAt + i / C)));
        }
    }

    /// Part s of `dWeight[c] = sum over rows of dY (x - mean) rstd`: rows `s, s + parts, ...` into partial (parts, C).
    static void centredParts(IntArray at, int slot, FloatArray x, FloatArray mean, FloatArray rstd, FloatArray dY,
            FloatArray partial, int N, int C, int parts) {
        int xAt = at.get(slot);
        int meanAt = at.get(slot + 1);
        int rstdAt = at.get(slot + 2);
        int dYAt = at.get(slot + 3);
        int partialAt = at.get(slot + 4);
        for (@Parallel int s = 0; s < (parts & ALL); s++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += dY.get(dYAt + n * C + c) * (x.get(xAt + n * C + c) - mean.get(meanAt + n))
                            * rstd.get(rstdAt + n);
                partial.set(partialAt + s * C + c, sum);
            }
    }
}
