package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Operations along the columns of a matrix (N,C). Sums over rows have two stages: partial sums, each over every `parts`-th
/// row, then their sum. The order of the additions depends only on the shapes, so results are reproducible bit by bit.
final class ColumnKernels {
    private ColumnKernels() {
    }

    /// `y[i] += bias` for each row i of y (N,C).
    static void addBias(FloatArray y, FloatArray bias, IntArray at, int N, int C) {
        int yAt = at.get(0);
        int biasAt = at.get(1);
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, y.get(yAt + i) + bias.get(biasAt + i % C));
    }

    /// `y = x * s` with s (C) along each row of x, y (N,C).
    static void scaleColumns(FloatArray x, FloatArray s, FloatArray y, IntArray at, int N, int C) {
        int xAt = at.get(0);
        int sAt = at.get(1);
        int yAt = at.get(2);
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i) * s.get(sAt + i % C));
    }

    /// [#scaleColumns] in place.
    static void scaleColumnsInPlace(FloatArray x, FloatArray s, IntArray at, int N, int C) {
        int xAt = at.get(0);
        int sAt = at.get(1);
        for (@Parallel int i = 0; i < N * C; i++)
            x.set(xAt + i, x.get(xAt + i) * s.get(sAt + i % C));
    }

    /// `y[t][j] = x[t][perm[j]]`
    static void permuteColumns(FloatArray x, IntArray perm, FloatArray y, IntArray at, int N, int C) {
        int xAt = at.get(0);
        int permAt = at.get(1);
        int yAt = at.get(2);
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i - i % C + perm.get(permAt + i % C)));
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
