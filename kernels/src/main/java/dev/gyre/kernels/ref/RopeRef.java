package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.RopeOps;

/// Rotary position embedding, pairs (j, j + R/2).
final class RopeRef {
    private RopeRef() {
    }

    static void run(RopeOps op, Operands of) {
        switch (op) {
            case RopeOps.Rope(var x, var cos, var sin, var positions, int N, int heads, int D, int R, var inverse) ->
                    rope(of.vec(x), of.vec(cos), of.vec(sin), of.ints(positions), N, heads, D, R, inverse);
        }
    }

    /// In place: `x_j' = x_j cos - x_(j+R/2) sin`, `x_(j+R/2)' = x_(j+R/2) cos + x_j sin`; inverse: `-sin`.
    static void rope(Vec x, Vec cos, Vec sin, int[] positions, int N, int heads, int D, int R,
            boolean inverse) {
        int half = R / 2;
        for (int i = 0; i < N; i++)
            for (int h = 0; h < heads; h++)
                for (int j = 0; j < half; j++) {
                    int lo = (i * heads + h) * D + j;
                    int hi = lo + half;
                    double c = cos.get(positions[i] * half + j);
                    double s = sin.get(positions[i] * half + j) * (inverse ? -1 : 1);
                    double u = x.get(lo);
                    double w = x.get(hi);
                    x.set(lo, u * c - w * s);
                    x.set(hi, w * c + u * s);
                }
    }
}
