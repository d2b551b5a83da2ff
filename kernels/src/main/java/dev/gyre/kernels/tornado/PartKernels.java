package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Copies between a matrix and one that lies in some of its columns.
final class PartKernels {
    private PartKernels() {
    }

    /// `y[i][c] = x[i][c]` for N rows of `width` columns; rows of x are `pitchX`, those of y `pitchY` elements apart.
    static void copyColumns(IntArray at, int slot, FloatArray x, FloatArray y, int N, int width, int pitchX,
            int pitchY) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < N * width; i++)
            y.set(yAt + i / width * pitchY + i % width, x.get(xAt + i / width * pitchX + i % width));
    }
}
