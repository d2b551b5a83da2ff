package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.Dropouts;
import dev.gyre.kernels.op.ElementOps;

/// Elementwise operations.
final class ElementRef {
    private ElementRef() {
    }

    static void run(ElementOps op, Operands of) {
        switch (op) {
            case ElementOps.Fill(var x, var value) -> of.vec(x).fill(value);
            case ElementOps.Copy(var x, var y) -> copy(of.vec(x), of.vec(y));
            case ElementOps.Add(var x, var y, var out) -> add(of.vec(x), of.vec(y), of.vec(out));
            case ElementOps.Axpy(var a, var x, var y) -> axpy(a, of.vec(x), of.vec(y));
            case ElementOps.Scale(var a, var x, var y) -> scale(a, of.vec(x), of.vec(y));
            case ElementOps.SwiGlu(var gate, var up, var out) -> swiGlu(of.vec(gate), of.vec(up), of.vec(out));
            case ElementOps.SwiGluGrad(var gate, var up, var dOut, var dGate, var dUp) ->
                    swiGluGrad(of.vec(gate), of.vec(up), of.vec(dOut), of.vec(dGate), of.vec(dUp));
            case ElementOps.Dropout(var x, var seed, var y, int salt, double p, var accumulate) ->
                    dropout(of.vec(x), of.first(seed), of.vec(y), salt, p, accumulate);
        }
    }

    static void copy(Vec x, Vec y) {
        for (int i = 0; i < x.size(); i++)
            y.set(i, x.get(i));
    }

    /// `out = x + y`
    static void add(Vec x, Vec y, Vec out) {
        for (int i = 0; i < x.size(); i++)
            out.set(i, x.get(i) + y.get(i));
    }

    /// `y += a x`
    static void axpy(double a, Vec x, Vec y) {
        for (int i = 0; i < x.size(); i++)
            y.add(i, a * x.get(i));
    }

    /// `y = a x`
    static void scale(double a, Vec x, Vec y) {
        for (int i = 0; i < x.size(); i++)
            y.set(i, a * x.get(i));
    }

    /// `out = silu(gate) up`, `silu(z) = z / (1 + e^-z)`
    static void swiGlu(Vec gate, Vec up, Vec out) {
        for (int i = 0; i < gate.size(); i++)
            out.set(i, gate.get(i) * sigmoid(gate.get(i)) * up.get(i));
    }

    /// With `s = sigmoid(gate)`: `dUp = dOut gate s`, `dGate = dOut up s (1 + gate (1 - s))`. In place as well.
    static void swiGluGrad(Vec gate, Vec up, Vec dOut, Vec dGate, Vec dUp) {
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

    /// `y (+)= x keep / (1 - p)`; which elements are kept is decided with p in float, as [Dropouts] defines.
    static void dropout(Vec x, int seed, Vec y, int salt, double p, boolean accumulate) {
        for (int i = 0; i < x.size(); i++) {
            double v = Dropouts.keeps(seed, salt, i, (float) p) ? x.get(i) / (1 - p) : 0;
            y.set(i, accumulate ? y.get(i) + v : v);
        }
    }
}
