package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.ColumnOps;

/// Operations along the rows or columns of a matrix (N,C).
final class ColumnRef {
    private ColumnRef() {
    }

    static void run(ColumnOps op, Operands of) {
        switch (op) {
            case ColumnOps.AddBias(var y, var bias, int N, int C) -> addBias(of.vec(y), of.vec(bias), N, C);
            case ColumnOps.BiasGrad(var dY, var dBias, int N, int C) -> biasGrad(of.vec(dY), of.vec(dBias), N, C);
            case ColumnOps.ScaleColumns(var x, var s, var y, int N, int C) ->
                    scaleColumns(of.vec(x), of.vec(s), of.vec(y), N, C);
            case ColumnOps.ColumnDot(var x, var y, var out, int N, int C) ->
                    columnDot(of.vec(x), of.vec(y), of.vec(out), N, C);
            case ColumnOps.PermuteColumns(var x, var perm, var y, int N, int C) ->
                    permuteColumns(of.vec(x), of.ints(perm), of.vec(y), N, C);
        }
    }

    /// `y[i] += bias`
    static void addBias(Vec y, Vec bias, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                y.add(i * C + c, bias.get(c));
    }

    /// `dBias += sum over rows of dY`
    static void biasGrad(Vec dY, Vec dBias, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                dBias.add(c, dY.get(i * C + c));
    }

    /// `y = x * s` along rows
    static void scaleColumns(Vec x, Vec s, Vec y, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                y.set(i * C + c, x.get(i * C + c) * s.get(c));
    }

    /// `out += sum over rows of x * y`
    static void columnDot(Vec x, Vec y, Vec out, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                out.add(c, x.get(i * C + c) * y.get(i * C + c));
    }

    /// `y[t][j] = x[t][perm[j]]`
    static void permuteColumns(Vec x, int[] perm, Vec y, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                y.set(i * C + c, x.get(i * C + perm[c]));
    }
}
