package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Sums in two stages: parts that run side by side, then the sum of the parts. The order of the additions depends on the
/// shapes alone, so a run repeats bit by bit.
final class ReduceKernels {
    private ReduceKernels() {
    }

    /// Part s of the column sums of x (N,C): rows `s, s + parts, ...` into partial (parts, C).
    static void columnParts(FloatArray x, int xAt, FloatArray partial, int N, int C, int parts) {
        for (@Parallel int s = 0; s < parts; s++)
            for (@Parallel int c = 0; c < C; c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += x.get(xAt + n * C + c);
                partial.set(s * C + c, sum);
            }
    }

    /// As [#columnParts] for the products `x y`.
    static void columnProductParts(FloatArray x, int xAt, FloatArray y, int yAt, FloatArray partial, int N, int C,
            int parts) {
        for (@Parallel int s = 0; s < parts; s++)
            for (@Parallel int c = 0; c < C; c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += x.get(xAt + n * C + c) * y.get(yAt + n * C + c);
                partial.set(s * C + c, sum);
            }
    }

    /// `out[c] (+)= sum over s of partial[s, c]`
    static void addParts(FloatArray partial, FloatArray out, int outAt, int C, int parts, int accumulate) {
        for (@Parallel int c = 0; c < C; c++) {
            float sum = accumulate != 0 ? out.get(outAt + c) : 0f;
            for (int s = 0; s < parts; s++)
                sum += partial.get(s * C + c);
            out.set(outAt + c, sum);
        }
    }
}
