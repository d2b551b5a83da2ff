package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// RMSNorm: `y = x rstd * (offset + weight)`, `rstd = 1/sqrt(mean(x^2) + eps)` per row. A first task reduces each row to one value,
/// a second computes the elements.
final class NormKernels {
    private NormKernels() {
    }

    /// `rstd` of each row of x (N,C).
    static void inverseRms(IntArray at, int slot, FloatArray x, FloatArray rstd, int N, int C, float eps) {
        int xAt = at.get(slot);
        int rstdAt = at.get(slot + 1);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            float sum = 0f;
            for (int c = 0; c < C; c++) {
                float v = x.get(xAt + n * C + c);
                sum += v * v;
            }
            rstd.set(rstdAt + n, 1f / TornadoMath.sqrt(sum / C + eps));
        }
    }

    /// `y = x rstd * (offset + weight)`
    static void normalise(IntArray at, int slot, FloatArray x, FloatArray rstd, FloatArray weight, FloatArray y, int N,
            int C, float offset) {
        int xAt = at.get(slot);
        int rstdAt = at.get(slot + 1);
        int weightAt = at.get(slot + 2);
        int yAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i) * rstd.get(rstdAt + i / C) * (offset + weight.get(weightAt + i % C)));
    }

    /// `mean[n] = mean over c of dY (offset + weight) x`, the term that the gradient subtracts in each row.
    static void meanOfProduct(IntArray at, int slot, FloatArray x, FloatArray weight, FloatArray dY, FloatArray mean,
            int N, int C, float offset) {
        int xAt = at.get(slot);
        int weightAt = at.get(slot + 1);
        int dYAt = at.get(slot + 2);
        int meanAt = at.get(slot + 3);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            float sum = 0f;
            for (int c = 0; c < C; c++)
                sum += dY.get(dYAt + n * C + c) * (offset + weight.get(weightAt + c)) * x.get(xAt + n * C + c);
            mean.set(meanAt + n, sum / C);
        }
    }

    /// `dX (+)= rstd (g - x rstd^2 mean(g x))` with `g = dY * (offset + weight)`.
    static void normaliseGrad(IntArray at, int slot, FloatArray x, FloatArray rstd, FloatArray weight, FloatArray dY,
            FloatArray mean, FloatArray dX, int N, int C, int accumulate, float offset) {
        int xAt = at.get(slot);
        int rstdAt = at.get(slot + 1);
        int weightAt = at.get(slot + 2);
        int dYAt = at.get(slot + 3);
        int meanAt = at.get(slot + 4);
        int dXAt = at.get(slot + 5);
        for (@Parallel int i = 0; i < N * C; i++) {
            float r = rstd.get(rstdAt + i / C);
            float g = dY.get(dYAt + i) * (offset + weight.get(weightAt + i % C));
            float old = accumulate != 0 ? dX.get(dXAt + i) : 0f;
            dX.set(dXAt + i, old + r * (g - x.get(xAt + i) * r * r * mean.get(meanAt + i / C)));
        }
    }

    /// Part s of `dWeight[c] = sum over rows of dY x rstd`: rows `s, s + parts, ...` of column c into partial (parts, C).
    static void weightGradParts(IntArray at, int slot, FloatArray x, FloatArray rstd, FloatArray dY, FloatArray partial,
            int N, int C, int parts) {
        int xAt = at.get(slot);
        int rstdAt = at.get(slot + 1);
        int dYAt = at.get(slot + 2);
        int partialAt = at.get(slot + 3);
        for (@Parallel int s = 0; s < (parts & ALL); s++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += dY.get(dYAt + n * C + c) * x.get(xAt + n * C + c) * rstd.get(rstdAt + n);
                partial.set(partialAt + s * C + c, sum);
            }
    }
}
