package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// RMSNorm: `y = x rstd * weight`, `rstd = 1/sqrt(mean(x^2) + eps)` per row. A first task reduces each row to one number,
/// a second treats elements alone.
final class NormKernels {
    private NormKernels() {
    }

    /// `rstd` of each row of x (N,C).
    static void inverseRms(FloatArray x, int xAt, FloatArray rstd, int rstdAt, int N, int C, float eps) {
        for (@Parallel int n = 0; n < N; n++) {
            float sum = 0f;
            for (int c = 0; c < C; c++) {
                float v = x.get(xAt + n * C + c);
                sum += v * v;
            }
            rstd.set(rstdAt + n, 1f / TornadoMath.sqrt(sum / C + eps));
        }
    }

    /// `y = x rstd * weight`
    static void normalise(FloatArray x, int xAt, FloatArray rstd, int rstdAt, FloatArray weight, int weightAt,
            FloatArray y, int yAt, int N, int C) {
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i) * rstd.get(rstdAt + i / C) * weight.get(weightAt + i % C));
    }

    /// `mean[n] = mean over c of dY weight x`, the row's part that the gradient takes away.
    static void meanOfProduct(FloatArray x, int xAt, FloatArray weight, int weightAt, FloatArray dY, int dYAt,
            FloatArray mean, int N, int C) {
        for (@Parallel int n = 0; n < N; n++) {
            float sum = 0f;
            for (int c = 0; c < C; c++)
                sum += dY.get(dYAt + n * C + c) * weight.get(weightAt + c) * x.get(xAt + n * C + c);
            mean.set(n, sum / C);
        }
    }

    /// `dX (+)= rstd (g - x rstd^2 mean(g x))` with `g = dY * weight`.
    static void normaliseGrad(FloatArray x, int xAt, FloatArray rstd, int rstdAt, FloatArray weight, int weightAt,
            FloatArray dY, int dYAt, FloatArray mean, FloatArray dX, int dXAt, int N, int C, int accumulate) {
        for (@Parallel int i = 0; i < N * C; i++) {
            float r = rstd.get(rstdAt + i / C);
            float g = dY.get(dYAt + i) * weight.get(weightAt + i % C);
            float old = accumulate != 0 ? dX.get(dXAt + i) : 0f;
            dX.set(dXAt + i, old + r * (g - x.get(xAt + i) * r * r * mean.get(i / C)));
        }
    }

    /// Part s of `dWeight[c] = sum over rows of dY x rstd`: rows `s, s + parts, ...` of column c into partial (parts, C).
    static void weightGradParts(FloatArray x, int xAt, FloatArray rstd, int rstdAt, FloatArray dY, int dYAt,
            FloatArray partial, int N, int C, int parts) {
        for (@Parallel int s = 0; s < parts; s++)
            for (@Parallel int c = 0; c < C; c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += dY.get(dYAt + n * C + c) * x.get(xAt + n * C + c) * rstd.get(rstdAt + n);
                partial.set(s * C + c, sum);
            }
    }
}
