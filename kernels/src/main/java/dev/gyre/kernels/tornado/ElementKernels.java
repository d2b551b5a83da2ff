package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import dev.gyre.kernels.op.Dropouts;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Elementwise operations, one work item per element, and the task that ends every graph.
final class ElementKernels {
    private ElementKernels() {
    }

    /// The last task of every graph, and the only one of a graph that just copies data.
    static void tick(IntArray ticks) {
        for (@Parallel int i = 0; i < 1; i++)
            ticks.set(i, ticks.get(i) + 1);
    }

    static void fillWith(IntArray at, int slot, FloatArray x, int n, float value) {
        int xAt = at.get(slot);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            x.set(xAt + i, value);
    }

    static void copyTo(IntArray at, int slot, FloatArray x, FloatArray y, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, x.get(xAt + i));
    }

    static void add(IntArray at, int slot, FloatArray x, FloatArray y, FloatArray out, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            out.set(outAt + i, x.get(xAt + i) + y.get(yAt + i));
    }

    /// `y += a x`
    static void axpy(IntArray at, int slot, float a, FloatArray x, FloatArray y, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, y.get(yAt + i) + a * x.get(xAt + i));
    }

    /// `y (+)= x keep / (1 - p)`; [Dropouts#keeps] decides whether element i is kept.
    static void dropout(IntArray at, int slot, FloatArray x, IntArray seed, FloatArray y, int n, float p, float scale,
            int accumulate) {
        int xAt = at.get(slot);
        int seedAt = at.get(slot + 1);
        int yAt = at.get(slot + 2);
        int salt = at.get(slot + 3);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float old = accumulate != 0 ? y.get(yAt + i) : 0f;
            float kept = Dropouts.keeps(seed.get(seedAt), salt, i, p) ? x.get(xAt + i) * scale : 0f;
            y.set(yAt + i, old + kept);
        }
    }

    /// `out = silu(gate) * up`, `silu(g) = g sigmoid(g)`.
    static void swiGlu(IntArray at, int slot, FloatArray gate, FloatArray up, FloatArray out, int n) {
        int gateAt = at.get(slot);
        int upAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float g = gate.get(gateAt + i);
            out.set(outAt + i, g * sigmoid(g) * up.get(upAt + i));
        }
    }

    /// With `s = sigmoid(gate)`: `dUp = dOut gate s`, `dGate = dOut up s (1 + gate (1 - s))`.
    static void swiGluGrad(IntArray at, int slot, FloatArray gate, FloatArray up, FloatArray dOut, FloatArray dGate,
            FloatArray dUp, int n) {
        int gateAt = at.get(slot);
        int upAt = at.get(slot + 1);
        int dOutAt = at.get(slot + 2);
        int dGateAt = at.get(slot + 3);
        int dUpAt = at.get(slot + 4);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float g = gate.get(gateAt + i);
            float u = up.get(upAt + i);
            float d = dOut.get(dOutAt + i);
            float s = sigmoid(g);
            dGate.set(dGateAt + i, d * u * s * (1f + g * (1f - s)));
            dUp.set(dUpAt + i, d * g * s);
        }
    }

    /// [#swiGluGrad] where dGate replaces gate and dUp replaces up.
    static void swiGluGradInPlace(IntArray at, int slot, FloatArray dOut, FloatArray gate, FloatArray up, int n) {
        int dOutAt = at.get(slot);
        int gateAt = at.get(slot + 1);
        int upAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float g = gate.get(gateAt + i);
            float u = up.get(upAt + i);
            float d = dOut.get(dOutAt + i);
            float s = sigmoid(g);
            gate.set(gateAt + i, d * u * s * (1f + g * (1f - s)));
            up.set(upAt + i, d * g * s);
        }
    }

    /// `1 / (1 + e^-x)`; the exponent is capped because OpenCL's relaxed arithmetic has no infinity.
    static float sigmoid(float x) {
        return 1f / (1f + TornadoMath.exp(TornadoMath.min(-x, 80f)));
    }
}
