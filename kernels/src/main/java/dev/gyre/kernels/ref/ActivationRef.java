package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.Activation;
import dev.gyre.kernels.op.ActivationOps;

/// Activation functions, element by element.
final class ActivationRef {
    private ActivationRef() {
    }

    static void run(ActivationOps op, Operands of) {
        switch (op) {
            case ActivationOps.Activate(var f, var x, var y) -> activate(f, of.vec(x), of.vec(y));
            case ActivationOps.ActivateGrad(var f, var x, var dY, var dX) ->
                    activateGrad(f, of.vec(x), of.vec(dY), of.vec(dX));
            case ActivationOps.Gated(var f, var gate, var up, var out) ->
                    gated(f, of.vec(gate), of.vec(up), of.vec(out));
            case ActivationOps.GatedGrad(var f, var gate, var up, var dOut, var dGate, var dUp) ->
                    gatedGrad(f, of.vec(gate), of.vec(up), of.vec(dOut), of.vec(dGate), of.vec(dUp));
        }
    }

    /// `y = f(x)`
    static void activate(Activation f, Vec x, Vec y) {
        for (int i = 0; i < x.size(); i++)
            y.set(i, value(f, x.get(i)));
    }

    /// `dX = dY f'(x)`
    static void activateGrad(Activation f, Vec x, Vec dY, Vec dX) {
        for (int i = 0; i < x.size(); i++)
            dX.set(i, dY.get(i) * slope(f, x.get(i)));
    }

    /// `out = f(gate) up`
    static void gated(Activation f, Vec gate, Vec up, Vec out) {
        for (int i = 0; i < gate.size(); i++)
            out.set(i, value(f, gate.get(i)) * up.get(i));
    }

    /// `dUp = dOut f(gate)`, `dGate = dOut up f'(gate)`
    static void gatedGrad(Activation f, Vec gate, Vec up, Vec dOut, Vec dGate, Vec dUp) {
        for (int i = 0; i < gate.size(); i++) {
            double g = gate.get(i);
            double u = up.get(i);
            double d = dOut.get(i);
            dGate.set(i, d * u * slope(f, g));
            dUp.set(i, d * value(f, g));
        }
    }

    private static final double ROOT = Math.sqrt(2 / Math.PI);

    private static double value(Activation f, double x) {
        return switch (f) {
            case GELU -> x * normal(x);
            case GELU_TANH -> x * (1 + Math.tanh(ROOT * (x + 0.044715 * x * x * x))) / 2;
            case SILU -> x / (1 + Math.exp(-x));
            case TANH -> Math.tanh(x);
            case RELU -> Math.max(x, 0);
        };
    }

    private static double slope(Activation f, double x) {
        return switch (f) {
            case GELU -> normal(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
            case GELU_TANH -> {
                double t = Math.tanh(ROOT * (x + 0.044715 * x * x * x));
                yield (1 + t) / 2 + x * (1 - t * t) / 2 * ROOT * (1 + 3 * 0.044715 * x * x);
            }
            case SILU -> {
                double s = 1 / (1 + Math.exp(-x));
                yield s * (1 + x * (1 - s));
            }
            case TANH -> 1 - Math.tanh(x) * Math.tanh(x);
            case RELU -> x > 0 ? 1 : 0;
        };
    }

    /// The normal distribution function, `(1 + erf(x / sqrt 2)) / 2`.
    private static double normal(double x) {
        return (1 + erf(x / Math.sqrt(2))) / 2;
    }

    /// `erf(x) = 2 / sqrt(pi) exp(-x^2) sum over n of 2^n x^(2n+1) / (1 3 5 ... (2n+1))`: all terms have one sign, so none
    /// cancels. Beyond 6 it is 1 to the last bit.
    static double erf(double x) {
        if (Math.abs(x) > 6)
            return Math.signum(x);
        double term = x;
        double sum = 0;
        for (int n = 0; sum + term != sum; n++) {
            sum += term;
            term *= 2 * x * x / (2 * n + 3);
        }
        return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
    }
}
