package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Sums in two stages: parts that run side by side, then the sum of the parts. The order of the additions depends on the
/// shapes alone, so a run repeats bit by bit.
final class ReduceKernels {
    private ReduceKernels() {
    }

    /// Part s of the column sums of x (N,C): rows `s, s + parts, ...` into partial (parts, C).
    static void columnParts(FloatArray x, FloatArray partial, IntArray at, int N, int C, int parts) {
        int xAt = at.get(0);
        for (@Parallel int s = 0; s < (parts & ALL); s++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += x.get(xAt + n * C + c);
                partial.set(s * C + c, sum);
            }
    }

    /// As [#columnParts] for the products `x y`.
    static void columnProductParts(FloatArray x, FloatArray y, FloatArray partial, IntArray at, int N, int C,
            int parts) {
        int xAt = at.get(0);
        int yAt = at.get(1);
        for (@Parallel int s = 0; s < (parts & ALL); s++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += x.get(xAt + n * C + c) * y.get(yAt + n * C + c);
                partial.set(s * C + c, sum);
            }
    }

    /// `out[c] (+)= sum over s of partial[s, c]`
    static void addParts(FloatArray partial, FloatArray out, IntArray at, int C, int parts, int accumulate) {
        int outAt = at.get(0);
        for (@Parallel int c = 0; c < (C & ALL); c++) {
            float sum = accumulate != 0 ? out.get(outAt + c) : 0f;
            for (int s = 0; s < parts; s++)
                sum += partial.get(s * C + c);
            out.set(outAt + c, sum);
        }
    }
}
