package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Block-diagonal rotation of rows (OFTv2): `y[t,i] = x[t,i] R[i]` for each block i of b features, 2 N d b FLOP. R (stored,
/// b, b) with `stored` = d/b, or 1 when all blocks share one rotation.
final class RotateKernels {
    private RotateKernels() {
    }

    /// `y[t,i,c] (+)= sum over k of x[t,i,k] R[i,k,c]`
    static void blockRotate(IntArray at, int slot, FloatArray x, FloatArray r, FloatArray y, int N, int d, int b,
            int stored, int accumulate) {
        int xAt = at.get(slot);
        int rAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        for (@Parallel int t = 0; t < (N & ALL); t++)
            for (@Parallel int f = 0; f < (d & ALL); f++) {
                int i = f / b;
                int rotation = stored == 1 ? rAt + f % b : rAt + i * b * b + f % b;
                float sum = 0f;
                for (int k = 0; k < b; k++)
                    sum += x.get(xAt + t * d + i * b + k) * r.get(rotation + k * b);
                float old = accumulate != 0 ? y.get(yAt + t * d + f) : 0f;
                y.set(yAt + t * d + f, old + sum);
            }
    }

    /// `y[t,i,k] (+)= sum over c of x[t,i,c] R[i,k,c]`, the inverse rotation if R is orthogonal.
    static void blockRotateBack(IntArray at, int slot, FloatArray x, FloatArray r, FloatArray y, int N, int d, int b,
            int stored, int accumulate) {
        int xAt = at.get(slot);
        int rAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        for (@Parallel int t = 0; t < (N & ALL); t++)
            for (@Parallel int f = 0; f < (d & ALL); f++) {
                int i = f / b;
                int rotation = stored == 1 ? rAt + f % b * b : rAt + (i * b + f % b) * b;
                float sum = 0f;
                for (int c = 0; c < b; c++)
                    sum += x.get(xAt + t * d + i * b + c) * r.get(rotation + c);
                float old = accumulate != 0 ? y.get(yAt + t * d + f) : 0f;
                y.set(yAt + t * d + f, old + sum);
            }
    }

    /// `dR[i,k,c] = sum over t of x[t,i,k] dY[t,i,c]`, one work item per element of dR (d/b, b, b).
    static void blockRotateGrad(IntArray at, int slot, FloatArray x, FloatArray dY, FloatArray dR, int N, int d,
            int b) {
        int xAt = at.get(slot);
        int dYAt = at.get(slot + 1);
        int dRAt = at.get(slot + 2);
        for (@Parallel int e = 0; e < d * b; e++) {
            int k = xAt + e / b;
            int c = dYAt + e / (b * b) * b + e % b;
            float sum = 0f;
            for (int t = 0; t < N; t++)
                sum += x.get(k + t * d) * dY.get(c + t * d);
            dR.set(dRAt + e, sum);
        }
    }

    /// The dense matrix (d,d) with the blocks of r on its diagonal.
    static void blockDiagonal(IntArray at, int slot, FloatArray r, FloatArray dense, int d, int b, int stored) {
        int rAt = at.get(slot);
        int denseAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < d * d; e++) {
            int i = e / d;
            int j = e % d;
            int block = stored == 1 ? 0 : i / b;
            float x = r.get(rAt + (block * b + i % b) * b + j % b);
            dense.set(denseAt + e, i / b == j / b ? x : 0f);
        }
    }

    /// Gradient of [#blockDiagonal]: the diagonal blocks, summed when shared.
    static void blockDiagonalGrad(IntArray at, int slot, FloatArray dDense, FloatArray dR, int d, int b, int stored) {
        int dDenseAt = at.get(slot);
        int dRAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < stored * b * b; e++) {
            int first = e / (b * b);
            int blocks = stored == 1 ? d / b : 1;
            float sum = 0f;
            for (int n = 0; n < blocks; n++) {
                int corner = (first + n) * b;
                sum += dDense.get(dDenseAt + (corner + e / b % b) * d + corner + e % b);
            }
            dR.set(dRAt + e, sum);
        }
    }
}
