package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.ArrayList;
import java.util.List;

/// Activation functions, alone and as gates. Letters and conventions are those of [Op].
public sealed interface ActivationOps extends Op {
    /// `y = f(x)` elementwise, equal sizes. y may be x.
    record Activate(Activation f, Buf x, Buf y) implements ActivationOps {
        public Activate {
            check(x.size() == y.size(), "Activate", x, y);
        }

        @Override
        public List<Access> accesses() {
            return y == x ? List.of(update(x)) : List.of(read(x), write(y));
        }

        @Override
        public long flops() {
            return 10 * x.size();
        }
    }

    /// `dX = dY f'(x)` elementwise. dX may be dY.
    record ActivateGrad(Activation f, Buf x, Buf dY, Buf dX) implements ActivationOps {
        public ActivateGrad {
            check(x.size() == dY.size() && x.size() == dX.size(), "ActivateGrad", x, dY, dX);
        }

        @Override
        public List<Access> accesses() {
            return dX == dY ? List.of(read(x), update(dY)) : List.of(read(x), read(dY), write(dX));
        }

        @Override
        public long flops() {
            return 15 * x.size();
        }
    }

    /// `out = f(gate) * up` elementwise, equal sizes: with a GELU the GeGLU. ([ElementOps.SwiGlu] is the one with a SiLU.)
    record Gated(Activation f, Buf gate, Buf up, Buf out) implements ActivationOps {
        public Gated {
            check(gate.size() == up.size() && gate.size() == out.size(), "Gated", gate, up, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(gate), read(up), write(out));
        }

        @Override
        public long flops() {
            return 11 * gate.size();
        }
    }

    /// dGate and dUp of [Gated]: `dUp = dOut f(gate)`, `dGate = dOut up f'(gate)`. dGate may be `gate` and dUp may be `up`.
    record GatedGrad(Activation f, Buf gate, Buf up, Buf dOut, Buf dGate, Buf dUp) implements ActivationOps {
        public GatedGrad {
            check(gate.size() == up.size() && gate.size() == dOut.size() && gate.size() == dGate.size()
                    && gate.size() == dUp.size(), "GatedGrad", gate, up, dOut, dGate, dUp);
        }

        @Override
        public List<Access> accesses() {
            List<Access> a = new ArrayList<>();
            a.add(dGate == gate ? update(gate) : read(gate));
            a.add(dUp == up ? update(up) : read(up));
            a.add(read(dOut));
            if (dGate != gate)
                a.add(write(dGate));
            if (dUp != up)
                a.add(write(dUp));
            return a;
        }

        @Override
        public long flops() {
            return 27 * gate.size();
        }
    }
}
