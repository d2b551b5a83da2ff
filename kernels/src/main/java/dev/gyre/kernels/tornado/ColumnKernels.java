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
    static void addBias(IntArray at, int slot, FloatArray bias, FloatArray y, int N, int C) {
        int biasAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, y.get(yAt + i) + bias.get(biasAt + i % C));
    }

    /// `y = x * s` with s (C) along each row of x, y (N,C).
    static void scaleColumns(IntArray at, int slot, FloatArray x, FloatArray s, FloatArray y, int N, int C) {
        int xAt = at.get(slot);
        int sAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i) * s.get(sAt + i % C));
    }

    /// [#scaleColumns] in place.
    static void scaleColumnsInPlace(IntArray at, int slot, FloatArray s, FloatArray x, int N, int C) {
        int sAt = at.get(slot);
        int xAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < N * C; i++)
            x.set(xAt + i, x.get(xAt + i) * s.get(sAt + i % C));
    }

    /// `y[t][j] = x[t][perm[j]]`
    static void permuteColumns(IntArray at, int slot, FloatArray x, IntArray perm, FloatArray y, int N, int C) {
        int xAt = at.get(slot);
        int permAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i - i % C + perm.get(permAt + i % C)));
    }

    /// Part s of the column sums of x (N,C): rows `s, s + parts, ...` into partial (parts, C).
    static void columnParts(IntArray at, int slot, FloatArray x, FloatArray partial, int N, int C, int parts) {
        int xAt = at.get(slot);
        int partialAt = at.get(slot + 1);
        for (@Parallel int s = 0; s < (parts & ALL); s++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += x.get(xAt + n * C + c);
                partial.set(partialAt + s * C + c, sum);
            }
    }

    /// As [#columnParts] for the products `x y`.
    static void columnProductParts(IntArray at, int slot, FloatArray x, FloatArray y, FloatArray partial, int N, int C,
            int parts) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        int partialAt = at.get(slot + 2);
        for (@Parallel int s = 0; s < (parts & ALL); s++)
            for (@Parallel int c = 0; c < (C & ALL); c++) {
                float sum = 0f;
                for (int n = s; n < N; n += parts)
                    sum += x.get(xAt + n * C + c) * y.get(yAt + n * C + c);
                partial.set(partialAt + s * C + c, sum);
            }
    }

    /// `out[c] (+)= sum over s of partial[s, c]`
    static void addParts(IntArray at, int slot, FloatArray partial, FloatArray out, int C, int parts, int accumulate) {
        int partialAt = at.get(slot);
        int outAt = at.get(slot + 1);
        for (@Parallel int c = 0; c < (C & ALL); c++) {
            float sum = accumulate != 0 ? out.get(outAt + c) : 0f;
            for (int s = 0; s < parts; s++)
                sum += partial.get(partialAt + s * C + c);
            out.set(outAt + c, sum);
        }
    }
}
