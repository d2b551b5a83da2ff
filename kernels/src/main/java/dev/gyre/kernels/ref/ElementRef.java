package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.Dropouts;

/// Operations on single elements, columns and biases.
public final class ElementRef {
    private ElementRef() {
    }

    public static void copy(Vec x, Vec y) {
        for (int i = 0; i < x.size(); i++)
            y.set(i, x.get(i));
    }

    /// `out = x + y`
    public static void add(Vec x, Vec y, Vec out) {
        for (int i = 0; i < x.size(); i++)
            out.set(i, x.get(i) + y.get(i));
    }

    /// `y += a x`
    public static void axpy(double a, Vec x, Vec y) {
        for (int i = 0; i < x.size(); i++)
            y.add(i, a * x.get(i));
    }

    /// `y[i] += bias`
    public static void addBias(Vec y, Vec bias, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                y.add(i * C + c, bias.get(c));
    }

    /// `dBias += sum over rows of dY`
    public static void biasGrad(Vec dY, Vec dBias, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                dBias.add(c, dY.get(i * C + c));
    }

    /// `y = x * s` along rows
    public static void scaleColumns(Vec x, Vec s, Vec y, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                y.set(i * C + c, x.get(i * C + c) * s.get(c));
    }

    /// `out += sum over rows of x * y`
    public static void columnDot(Vec x, Vec y, Vec out, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                out.add(c, x.get(i * C + c) * y.get(i * C + c));
    }

    /// `y[t][j] = x[t][perm[j]]`
    public static void permuteColumns(Vec x, int[] perm, Vec y, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                y.set(i * C + c, x.get(i * C + perm[c]));
    }

    /// `out = silu(gate) up`, `silu(z) = z / (1 + e^-z)`
    public static void swiGlu(Vec gate, Vec up, Vec out) {
        for (int i = 0; i < gate.size(); i++)
            out.set(i, gate.get(i) * sigmoid(gate.get(i)) * up.get(i));
    }

    /// With `s = sigmoid(gate)`: `dUp = dOut gate s`, `dGate = dOut up s (1 + gate (1 - s))`. In place as well.
    public static void swiGluGrad(Vec gate, Vec up, Vec dOut, Vec dGate, Vec dUp) {
        for (int i = 0; i < gate.size(); i++) {
            double g = gate.get(i);
            double u = up.get(i);
            double s = sigmoid(g);
            dUp.set(i, dOut.get(i) * g * s);
            dGate.set(i, dOut.get(i) * u * s * (1 + g * (1 - s)));
        }
    }

    private static double sigmoid(double z) {
        return 1 / (1 + Math.exp(-z));
    }

    /// `y (+)= x keep / (1 - p)`; `p` decides in float, as [Dropouts] defines, and scales in double.
    public static void dropout(Vec x, int seed, Vec y, int salt, float p, double scale, boolean accumulate) {
        for (int i = 0; i < x.size(); i++) {
            double v = Dropouts.keeps(seed, salt, i, p) ? x.get(i) * scale : 0;
            y.set(i, accumulate ? y.get(i) + v : v);
        }
    }
}
