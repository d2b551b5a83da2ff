package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The Givens sweep of [GivensKernels] for GPUs, all stages in one kernel: a work group keeps `rows` rows in local memory, and
/// an item handles the same pairs in all of them, so that a pair's 2x2 matrix is read once. `stages` holds the number of
/// pairs and the first pair of each stage, smallest stride first. Local memory has a gap after every 32 features, else the
/// pairs of a large stride would be in one bank.
final class GivensRowKernels {
    /// Items of a work group.
    static final int GROUP = 256;
    /// Features of all rows of a work group together, and the largest d.
    static final int MAX_D = 8192;
    /// Most rows of a work group: more would save little and give fewer groups.
    static final int MAX_ROWS = 4;

    private GivensRowKernels() {
    }

    private static int padded(int f) {
        return f + (f >> 5);
    }

    /// All stages of [dev.gyre.kernels.op.GivensOps.GivensSweep].
    static void sweepRows(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray g, FloatArray y,
            IntArray stages, int N, int d, int rows) {
        int xAt = at.get(slot);
        int gAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        int stagesAt = at.get(slot + 3);
        int count = at.get(slot + 4);
        int pitch = padded(d) + 1;
        float[] row = context.allocateFloatLocalArray(rows * pitch);
        int lane = context.localIdx;
        int n0 = context.groupIdx * rows;
        for (int n = 0; n < rows; n++)
            for (int f = lane; f < d; f += GROUP)
                row[n * pitch + padded(f)] = n0 + n < N ? x.get(xAt + (n0 + n) * d + f) : 0f;
        context.localBarrier();
        for (int down = 1; down <= count; down++) {
            int s = count - down;
            int stride = 1 << s;
            int pairs = stages.get(stagesAt + 2 * s);
            int first = stages.get(stagesAt + 2 * s + 1);
            for (int j = lane; j < pairs; j += GROUP) {
                int o = gAt + 4 * (first + j);
                float g00 = g.get(o);
                float g01 = g.get(o + 1);
                float g10 = g.get(o + 2);
                float g11 = g.get(o + 3);
                int p = padded(2 * stride * j);
                int r = padded(2 * stride * j + stride);
                for (int n = 0; n < rows; n++) {
                    float a = row[n * pitch + p];
                    float c = row[n * pitch + r];
                    row[n * pitch + p] = a * g00 + c * g10;
                    row[n * pitch + r] = a * g01 + c * g11;
                }
            }
            context.localBarrier();
        }
        for (int n = 0; n < rows; n++)
            if (n0 + n < N)
                for (int f = lane; f < d; f += GROUP)
                    y.set(yAt + (n0 + n) * d + f, row[n * pitch + padded(f)]);
    }

    /// All of [dev.gyre.kernels.op.GivensOps.GivensSweepGrad] except the sum over parts. Work group `part` handles the rows
    /// `part rows ..`, `(part + parts) rows ..`: it repeats the sweep, keeping each pair's inputs in `inputs`
    /// (parts, rows, d-1, 2) for the same item's backward pass, then applies the transposed stages to dY. No stage has to be
    /// inverted, so any 2x2 matrices will do. Each element of dG (parts, d-1, 4) is likewise written by one item only.
    static void sweepGradRows(KernelContext context, IntArray at, int slot, FloatArray x, FloatArray g, FloatArray dY,
            FloatArray inputs, FloatArray dX, FloatArray dG, IntArray stages, int N, int d, int rows, int parts,
            int accumulate) {
        int xAt = at.get(slot);
        int gAt = at.get(slot + 1);
        int dYAt = at.get(slot + 2);
        int inputsAt = at.get(slot + 3);
        int dXAt = at.get(slot + 4);
        int dGAt = at.get(slot + 5);
        int stagesAt = at.get(slot + 6);
        int count = at.get(slot + 7);
        int pitch = padded(d) + 1;
        float[] row = context.allocateFloatLocalArray(rows * pitch);
        int lane = context.localIdx;
        int part = context.groupIdx;
        int kept = part * rows * (d - 1);
        int partAt = dGAt + part * (d - 1) * 4;
        for (int n0 = part * rows; n0 < N; n0 += parts * rows) {
            for (int n = 0; n < rows; n++)
                for (int f = lane; f < d; f += GROUP)
                    row[n * pitch + padded(f)] = n0 + n < N ? x.get(xAt + (n0 + n) * d + f) : 0f;
            context.localBarrier();
            for (int down = 1; down <= count; down++) {
                int s = count - down;
                int stride = 1 << s;
                int pairs = stages.get(stagesAt + 2 * s);
                int first = stages.get(stagesAt + 2 * s + 1);
                for (int j = lane; j < pairs; j += GROUP) {
                    int o = gAt + 4 * (first + j);
                    float g00 = g.get(o);
                    float g01 = g.get(o + 1);
                    float g10 = g.get(o + 2);
                    float g11 = g.get(o + 3);
                    int p = padded(2 * stride * j);
                    int r = padded(2 * stride * j + stride);
                    for (int n = 0; n < rows; n++) {
                        float a = row[n * pitch + p];
                        float c = row[n * pitch + r];
                        int keep = 2 * (kept + n * (d - 1) + first + j);
                        inputs.set(inputsAt + keep, a);
                        inputs.set(inputsAt + keep + 1, c);
                        row[n * pitch + p] = a * g00 + c * g10;
                        row[n * pitch + r] = a * g01 + c * g11;
                    }
                }
                context.localBarrier();
            }
            for (int n = 0; n < rows; n++)
                for (int f = lane; f < d; f += GROUP)
                    row[n * pitch + padded(f)] = n0 + n < N ? dY.get(dYAt + (n0 + n) * d + f) : 0f;
            context.localBarrier();
            for (int s = 0; s < count; s++) {
                int stride = 1 << s;
                int pairs = stages.get(stagesAt + 2 * s);
                int first = stages.get(stagesAt + 2 * s + 1);
                for (int j = lane; j < pairs; j += GROUP) {
                    int o = gAt + 4 * (first + j);
                    float g00 = g.get(o);
                    float g01 = g.get(o + 1);
                    float g10 = g.get(o + 2);
                    float g11 = g.get(o + 3);
                    int p = padded(2 * stride * j);
                    int r = padded(2 * stride * j + stride);
                    int to = partAt + 4 * (first + j);
                    int again = n0 > part * rows ? 1 : 0;
                    float d00 = again != 0 ? dG.get(to) : 0f;
                    float d01 = again != 0 ? dG.get(to + 1) : 0f;
                    float d10 = again != 0 ? dG.get(to + 2) : 0f;
                    float d11 = again != 0 ? dG.get(to + 3) : 0f;
                    for (int n = 0; n < rows; n++) {
                        float u = row[n * pitch + p];
                        float w = row[n * pitch + r];
                        int keep = 2 * (kept + n * (d - 1) + first + j);
                        float a = inputs.get(inputsAt + keep);
                        float c = inputs.get(inputsAt + keep + 1);
                        d00 += a * u;
                        d01 += a * w;
                        d10 += c * u;
                        d11 += c * w;
                        row[n * pitch + p] = u * g00 + w * g01;
                        row[n * pitch + r] = u * g10 + w * g11;
                    }
                    dG.set(to, d00);
                    dG.set(to + 1, d01);
                    dG.set(to + 2, d10);
                    dG.set(to + 3, d11);
                }
                context.localBarrier();
            }
            for (int n = 0; n < rows; n++)
                if (n0 + n < N)
                    for (int f = lane; f < d; f += GROUP) {
                        int to = dXAt + (n0 + n) * d + f;
                        float v = row[n * pitch + padded(f)];
                        dX.set(to, accumulate != 0 ? dX.get(to) + v : v);
                    }
            context.localBarrier();
        }
    }
}
