package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.ArrayList;
import java.util.List;

/// Elementwise operations. Letters and conventions are those of [Op].
public sealed interface ElementOps extends Op {
    /// Sets every element of an F32 buffer to `value`.
    record Fill(Buf x, double value) implements ElementOps {
        @Override
        public List<Access> accesses() {
            return List.of(write(x));
        }
    }

    /// `y = x`, F32, equal sizes.
    record Copy(Buf x, Buf y) implements ElementOps {
        public Copy {
            check(x.size() == y.size(), "Copy", x, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), write(y));
        }
    }

    /// `out = x + y` elementwise, equal sizes.
    record Add(Buf x, Buf y, Buf out) implements ElementOps {
        public Add {
            check(x.size() == y.size() && x.size() == out.size(), "Add", x, y, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(y), write(out));
        }

        @Override
        public long flops() {
            return x.size();
        }
    }

    /// `y += a x` elementwise, equal sizes.
    record Axpy(double a, Buf x, Buf y) implements ElementOps {
        public Axpy {
            check(x.size() == y.size(), "Axpy", x, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), update(y));
        }

        @Override
        public long flops() {
            return 2 * x.size();
        }
    }

    /// `y = a x` elementwise, equal sizes. y may be x.
    record Scale(double a, Buf x, Buf y) implements ElementOps {
        public Scale {
            check(x.size() == y.size(), "Scale", x, y);
        }

        @Override
        public List<Access> accesses() {
            return y == x ? List.of(update(x)) : List.of(read(x), write(y));
        }

        @Override
        public long flops() {
            return x.size();
        }
    }

    /// `out = silu(gate) * up` elementwise, equal sizes.
    record SwiGlu(Buf gate, Buf up, Buf out) implements ElementOps {
        public SwiGlu {
            check(gate.size() == up.size() && gate.size() == out.size(), "SwiGlu", gate, up, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(gate), read(up), write(out));
        }

        @Override
        public long flops() {
            return 5 * gate.size();
        }
    }

    /// dGate and dUp of [SwiGlu]: with `s = sigmoid(gate)`, `dUp = dOut gate s`,
    /// `dGate = dOut up s (1 + gate (1 - s))`. dGate may be `gate` and dUp may be `up`.
    record SwiGluGrad(Buf gate, Buf up, Buf dOut, Buf dGate, Buf dUp) implements ElementOps {
        public SwiGluGrad {
            check(gate.size() == up.size() && gate.size() == dOut.size() && gate.size() == dGate.size()
                    && gate.size() == dUp.size(), "SwiGluGrad", gate, up, dOut, dGate, dUp);
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
            return 10 * gate.size();
        }
    }

    /// `y (+)= x * keep / (1 - p)`: inverted dropout. Element e is kept when a hash of (`seed[0]`, `salt`, e) is
    /// at least p as a fraction of 2^24 (see [Dropouts#keeps]): the backward pass runs the same operation on the
    /// gradient, no mask is stored. seed (1) I32 changes every micro-batch.
    record Dropout(Buf x, Buf seed, Buf y, int salt, double p, boolean accumulate) implements ElementOps {
        public Dropout {
            check(x.size() == y.size() && seed.dtype() == DType.I32 && seed.size() == 1 && p >= 0 && p < 1,
                    "Dropout", x, seed, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(seed), into(y, accumulate));
        }
    }
}
