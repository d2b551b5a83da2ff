package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Activation functions, one work item per element. The function `f` is its number in
/// [dev.gyre.kernels.op.Activation], a constant of the compiled code. Results may take the place of operands.
final class ActivationKernels {
    private static final int GELU = 0;
    private static final int GELU_TANH = 1;
    private static final int SILU = 2;
    private static final int TANH = 3;
    private static final float ROOT_2_PI = 0.79788456080286536f;
    private static final float CUBE = 0.044715f;

    private ActivationKernels() {
    }

    /// `y = f(x)`
    static void activate(IntArray at, int slot, FloatArray x, FloatArray y, int f, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, valueOf(f, x.get(xAt + i)));
    }

    /// `dX = dY f'(x)`
    static void activateGrad(IntArray at, int slot, FloatArray x, FloatArray dY, FloatArray dX, int f, int n) {
        int xAt = at.get(slot);
        int dYAt = at.get(slot + 1);
        int dXAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            dX.set(dXAt + i, dY.get(dYAt + i) * slopeOf(f, x.get(xAt + i)));
    }

    /// `out = f(gate) up`
    static void gated(IntArray at, int slot, FloatArray gate, FloatArray up, FloatArray out, int f, int n) {
        int gateAt = at.get(slot);
        int upAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            out.set(outAt + i, valueOf(f, gate.get(gateAt + i)) * up.get(upAt + i));
    }

    /// `dUp = dOut f(gate)`, `dGate = dOut up f'(gate)`
    static void gatedGrad(IntArray at, int slot, FloatArray gate, FloatArray up, FloatArray dOut, FloatArray dGate,
            FloatArray dUp, int f, int n) {
        int gateAt = at.get(slot);
        int upAt = at.get(slot + 1);
        int dOutAt = at.get(slot + 2);
        int dGateAt = at.get(slot + 3);
        int dUpAt = at.get(slot + 4);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float g = gate.get(gateAt + i);
            float u = up.get(upAt + i);
            float d = dOut.get(dOutAt + i);
            dGate.set(dGateAt + i, d * u * slopeOf(f, g));
            dUp.set(dUpAt + i, d * valueOf(f, g));
        }
    }

    private static float valueOf(int f, float x) {
        if (f == GELU)
            return x * (0.5f + 0.5f * errorFunction(0.70710678118654752f * x));
        if (f == GELU_TANH)
            return x * (0.5f + 0.5f * hyperbolicTangent(ROOT_2_PI * (x + CUBE * x * x * x)));
        if (f == SILU)
            return x * ElementKernels.sigmoid(x);
        if (f == TANH)
            return hyperbolicTangent(x);
        return TornadoMath.max(x, 0f);
    }

    private static float slopeOf(int f, float x) {
        if (f == GELU) {
            float density = 0.39894228040143268f * TornadoMath.exp(TornadoMath.max(-0.5f * x * x, -80f));
            return 0.5f + 0.5f * errorFunction(0.70710678118654752f * x) + x * density;
        }
        if (f == GELU_TANH) {
            float e = TornadoMath.exp(
                    TornadoMath.max(TornadoMath.min(-2f * ROOT_2_PI * (x + CUBE * x * x * x), 80f), -80f));
            float s = 1f / (1f + e);
            return s + x * s * s * e * 2f * ROOT_2_PI * (1f + 3f * CUBE * x * x);
        }
        if (f == SILU) {
            float s = ElementKernels.sigmoid(x);
            return s * (1f + x * (1f - s));
        }
        if (f == TANH) {
            float t = hyperbolicTangent(x);
            return 1f - t * t;
        }
        return x > 0f ? 1f : 0f;
    }

    /// The quotient of polynomials of the CPU's kernels: the devices' own tanh differ in accuracy.
    static float hyperbolicTangent(float x) {
        float c = TornadoMath.max(TornadoMath.min(x, 7.90531110763549805f), -7.90531110763549805f);
        float s = c * c;
        float p = -2.76076847742355e-16f;
        p = p * s + 2.00018790482477e-13f;
        p = p * s - 8.60467152213735e-11f;
        p = p * s + 5.12229709037114e-08f;
        p = p * s + 1.48572235717979e-05f;
        p = p * s + 6.37261928875436e-04f;
        p = p * s + 4.89352455891786e-03f;
        float q = 1.19825839466702e-06f;
        q = q * s + 1.18534705686654e-04f;
        q = q * s + 2.26843463243900e-03f;
        q = q * s + 4.89352518554385e-03f;
        return TornadoMath.max(TornadoMath.min(c * p / q, 1f), -1f);
    }

    private static float errorFunction(float x) {
        float c = TornadoMath.max(TornadoMath.min(x, 4f), -4f);
        float s = c * c;
        float p = -2.72614225801306e-10f;
        p = p * s + 2.77068142495902e-08f;
        p = p * s - 2.10102402082508e-06f;
        p = p * s - 5.69250639462346e-05f;
        p = p * s - 7.34990630326855e-04f;
        p = p * s - 2.95459980854025e-03f;
        p = p * s - 1.60960333262415e-02f;
        float q = -1.45660718464996e-05f;
        q = q * s - 2.13374055278905e-04f;
        q = q * s - 1.68282697438203e-03f;
        q = q * s - 7.37332916720468e-03f;
        q = q * s - 1.42647390514189e-02f;
        return TornadoMath.max(TornadoMath.min(c * p / q, 1f), -1f);
    }
}
