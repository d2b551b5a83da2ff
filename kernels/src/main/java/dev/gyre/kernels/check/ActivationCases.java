package dev.gyre.kernels.check;

import dev.gyre.kernels.op.Activation;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.Buf;
import java.util.ArrayList;
import java.util.List;

/// Cases of [ActivationOps].
final class ActivationCases implements Cases {
    /// Where the functions are 0, x or constant in F32, and a tiny value.
    private static final float[] EXTREME = {-200, -90, -9, -1e-30f, 0, 9, 90, 200};

    /// erf and tanh within 2e-7, times values to about 12.
    private static Tol tol() {
        return new Tol(1e-6, 32 * Tol.ROUNDING, "erf and tanh within 2e-7");
    }

    private static Buf values(OpCase.Setup s, int n, boolean extreme) {
        if (extreme)
            return s.in("x", EXTREME.clone(), n);
        float[] x = s.normal(3, n);
        // away from the corner of a ReLU, across which no difference is a derivative
        for (int i = 0; i < n && s.differences(); i++)
            if (Math.abs(x[i]) < 0.1f)
                x[i] = 0.3f;
        return s.in("x", x, n);
    }

    /// @param inPlace y is x
    public record Activate(Activation f, int n, boolean extreme, boolean inPlace) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = inPlace ? s.inout("x", 3, tol(), n) : values(s, n, extreme);
            s.op(new ActivationOps.Activate(f, x, inPlace ? x : s.out("y", tol(), n)));
        }
    }

    /// @param inPlace dX is dY
    public record ActivateGrad(Activation f, int n, boolean extreme, boolean inPlace) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = values(s, n, extreme);
            Buf y = s.result("y", n);
            s.forward(new ActivationOps.Activate(f, x, y));
            if (inPlace) {
                Buf d = s.inout("d", 1, tol(), n);
                s.op(new ActivationOps.ActivateGrad(f, x, d, d));
            } else
                s.op(new ActivationOps.ActivateGrad(f, x, s.cotangent("dY", y), s.gradient("dX", x, tol(), false)));
        }
    }

    public record Gated(Activation f, int n, boolean extreme) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ActivationOps.Gated(f, values(s, n, extreme), s.in("up", 1, n), s.out("out", tol(), n)));
        }
    }

    /// @param gateInPlace dGate replaces gate
    /// @param upInPlace dUp replaces up
    public record GatedGrad(Activation f, int n, boolean gateInPlace, boolean upInPlace) implements OpCase {
        @Override
        public void emit(Setup s) {
            Tol products = new Tol(1e-5, 64 * Tol.ROUNDING, "products of two normal values and one within 1e-6");
            Buf gate = gateInPlace ? s.inout("gate", 2, products, n) : values(s, n, false);
            Buf up = upInPlace ? s.inout("up", 1, products, n) : s.in("up", 1, n);
            Buf out = s.result("out", n);
            s.forward(new ActivationOps.Gated(f, gate, up, out));
            s.op(new ActivationOps.GatedGrad(f, gate, up, s.cotangent("dOut", out),
                    gateInPlace ? gate : s.gradient("dGate", gate, products, false),
                    upInPlace ? up : s.gradient("dUp", up, products, false)));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (Activation f : Activation.values()) {
            for (int n : new int[] {1, 3, 13, 31, 64, 207, 40_003})
                out.addAll(List.of(new Activate(f, n, false, false), new ActivateGrad(f, n, false, false),
                        new Gated(f, n, false), new GatedGrad(f, n, false, false)));
            out.addAll(List.of(new Activate(f, EXTREME.length, true, false),
                    new ActivateGrad(f, EXTREME.length, true, false), new Gated(f, EXTREME.length, true),
                    new Activate(f, 33, false, true), new ActivateGrad(f, 33, false, true),
                    new GatedGrad(f, 33, true, true), new GatedGrad(f, 1000, false, true)));
        }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int n = z.N() * z.F();
        return List.of(new Activate(Activation.GELU, n, false, false),
                new ActivateGrad(Activation.GELU, n, false, true),
                new Gated(Activation.GELU_TANH, n, false), new GatedGrad(Activation.GELU_TANH, n, true, true));
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (Activation f : Activation.values())
            out.addAll(List.of(new ActivateGrad(f, 13, false, false), new GatedGrad(f, 13, false, false)));
        return out;
    }
}
