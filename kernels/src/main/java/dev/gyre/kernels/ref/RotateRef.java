package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.RotateOps;

/// Block-diagonal rotation of rows, its gradients, and the dense block-diagonal matrix.
final class RotateRef {
    private RotateRef() {
    }

    static void run(RotateOps op, Operands of) {
        switch (op) {
            case RotateOps.BlockRotate(var x, var r, var y, int N, int d, int b, int stored, var transpose, var accumulate) ->
                    rotate(of.vec(x), of.vec(r), of.vec(y), N, d, b, stored, transpose, accumulate);
            case RotateOps.BlockRotateGrad(var x, var dY, var dR, int N, int d, int b, int stored) ->
                    grad(of.vec(x), of.vec(dY), of.vec(dR), N, d, b, stored);
            case RotateOps.BlockDiagonal(var r, var dense, int d, int b, int stored) ->
                    blockDiagonal(of.vec(r), of.vec(dense), d, b, stored);
            case RotateOps.BlockDiagonalGrad(var dDense, var dR, int d, int b, int stored) ->
                    blockDiagonalGrad(of.vec(dDense), of.vec(dR), d, b, stored);
        }
    }

    /// `y[t,i,c] (+)= sum_k x[t,i,k] R[i,k,c]`, or `R[i,c,k]` with `transpose`.
    static void rotate(Vec x, Vec r, Vec y, int N, int d, int b, int stored, boolean transpose,
            boolean accumulate) {
        for (int t = 0; t < N; t++)
            for (int i = 0; i < d / b; i++) {
                Vec R = r.slice(stored == 1 ? 0 : i * b * b, b * b);
                for (int c = 0; c < b; c++) {
                    double sum = 0;
                    for (int k = 0; k < b; k++)
                        sum += x.get(t * d + i * b + k) * R.get(transpose ? c * b + k : k * b + c);
                    int at = t * d + i * b + c;
                    y.set(at, accumulate ? y.get(at) + sum : sum);
                }
            }
    }

    /// `dR[i,k,c] = sum_t x[t,i,k] dY[t,i,c]`, over all blocks when one is shared.
    static void grad(Vec x, Vec dY, Vec dR, int N, int d, int b, int stored) {
        dR.fill(0);
        for (int t = 0; t < N; t++)
            for (int i = 0; i < d / b; i++)
                for (int k = 0; k < b; k++)
                    for (int c = 0; c < b; c++)
                        dR.add((stored == 1 ? 0 : i * b * b) + k * b + c,
                                x.get(t * d + i * b + k) * dY.get(t * d + i * b + c));
    }

    /// Block i of r, or the one stored, at rows and columns `i b ..` of the dense matrix; zeros elsewhere.
    static void blockDiagonal(Vec r, Vec dense, int d, int b, int stored) {
        for (int i = 0; i < d; i++)
            for (int j = 0; j < d; j++) {
                int block = stored == 1 ? 0 : i / b;
                dense.set(i * d + j, i / b == j / b ? r.get(block * b * b + i % b * b + j % b) : 0);
            }
    }

    /// The diagonal blocks of dDense, summed when one is shared.
    static void blockDiagonalGrad(Vec dDense, Vec dR, int d, int b, int stored) {
        dR.fill(0);
        for (int i = 0; i < d; i++)
            for (int j = i / b * b; j < i / b * b + b; j++)
                dR.add((stored == 1 ? 0 : i / b * b * b) + i % b * b + j % b, dDense.get(i * d + j));
    }
}
