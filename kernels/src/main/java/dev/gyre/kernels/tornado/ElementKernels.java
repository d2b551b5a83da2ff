package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Dropouts;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Operations that treat every element alone, one work item each.
final class ElementKernels {
    private ElementKernels() {
    }

    /// The only task of a graph that just moves data.
    static void tick(IntArray ticks) {
        for (@Parallel int i = 0; i < 1; i++)
            ticks.set(i, ticks.get(i) + 1);
    }

    static void fillWith(FloatArray x, int xAt, int n, float value) {
        for (@Parallel int i = 0; i < n; i++)
            x.set(xAt + i, value);
    }

    static void copyTo(FloatArray x, int xAt, FloatArray y, int yAt, int n) {
        for (@Parallel int i = 0; i < n; i++)
            y.set(yAt + i, x.get(xAt + i));
    }

    static void add(FloatArray x, int xAt, FloatArray y, int yAt, FloatArray out, int outAt, int n) {
        for (@Parallel int i = 0; i < n; i++)
            out.set(outAt + i, x.get(xAt + i) + y.get(yAt + i));
    }

    /// `y += a x`
    static void axpy(float a, FloatArray x, int xAt, FloatArray y, int yAt, int n) {
        for (@Parallel int i = 0; i < n; i++)
            y.set(yAt + i, y.get(yAt + i) + a * x.get(xAt + i));
    }

    /// `y[i] += bias` for each row i of y (N,C).
    static void addBias(FloatArray y, int yAt, FloatArray bias, int biasAt, int N, int C) {
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, y.get(yAt + i) + bias.get(biasAt + i % C));
    }

    /// `y = x * s` with s (C) along each row of x, y (N,C).
    static void scaleColumns(FloatArray x, int xAt, FloatArray s, int sAt, FloatArray y, int yAt, int N, int C) {
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i) * s.get(sAt + i % C));
    }

    /// [#scaleColumns] in place.
    static void scaleColumnsInPlace(FloatArray x, int xAt, FloatArray s, int sAt, int N, int C) {
        for (@Parallel int i = 0; i < N * C; i++)
            x.set(xAt + i, x.get(xAt + i) * s.get(sAt + i % C));
    }

    /// `y[t][j] = x[t][perm[j]]`
    static void permuteColumns(FloatArray x, int xAt, IntArray perm, int permAt, FloatArray y, int yAt, int N, int C) {
        for (@Parallel int i = 0; i < N * C; i++)
            y.set(yAt + i, x.get(xAt + i - i % C + perm.get(permAt + i % C)));
    }

    /// `y (+)= x keep / (1 - p)`; element i survives as [Dropouts#keeps] says.
    static void dropout(FloatArray x, int xAt, IntArray seed, int seedAt, FloatArray y, int yAt, int n, int salt,
            float p,
            float scale, int accumulate) {
        for (@Parallel int i = 0; i < n; i++) {
            float old = accumulate != 0 ? y.get(yAt + i) : 0f;
            float kept = Dropouts.keeps(seed.get(seedAt), salt, i, p) ? x.get(xAt + i) * scale : 0f;
            y.set(yAt + i, old + kept);
        }
    }

    /// `out = silu(gate) * up`, `silu(g) = g sigmoid(g)`.
    static void swiGlu(FloatArray gate, int gateAt, FloatArray up, int upAt, FloatArray out, int outAt, int n) {
        for (@Parallel int i = 0; i < n; i++) {
            float g = gate.get(gateAt + i);
            out.set(outAt + i, g * sigmoid(g) * up.get(upAt + i));
        }
    }

    /// With `s = sigmoid(gate)`: `dUp = dOut gate s`, `dGate = dOut up s (1 + gate (1 - s))`.
    static void swiGluGrad(FloatArray gate, int gateAt, FloatArray up, int upAt, FloatArray dOut, int dOutAt,
            FloatArray dGate, int dGateAt, FloatArray dUp, int dUpAt, int n) {
        for (@Parallel int i = 0; i < n; i++) {
            float g = gate.get(gateAt + i);
            float u = up.get(upAt + i);
            float d = dOut.get(dOutAt + i);
            float s = sigmoid(g);
            dGate.set(dGateAt + i, d * u * s * (1f + g * (1f - s)));
            dUp.set(dUpAt + i, d * g * s);
        }
    }

    /// [#swiGluGrad] where dGate replaces gate and dUp replaces up.
    static void swiGluGradInPlace(FloatArray gate, int gateAt, FloatArray up, int upAt, FloatArray dOut, int dOutAt,
            int n) {
        for (@Parallel int i = 0; i < n; i++) {
            float g = gate.get(gateAt + i);
            float u = up.get(upAt + i);
            float d = dOut.get(dOutAt + i);
            float s = sigmoid(g);
            gate.set(gateAt + i, d * u * s * (1f + g * (1f - s)));
            up.set(upAt + i, d * g * s);
        }
    }

    /// `1 / (1 + e^-x)`; the exponent is capped because OpenCL's relaxed arithmetic does not know infinity.
    static float sigmoid(float x) {
        return 1f / (1f + TornadoMath.exp(TornadoMath.min(-x, 80f)));
    }
}
