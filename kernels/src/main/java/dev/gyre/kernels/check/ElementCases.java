package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.roundings;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [ElementOps].
final class ElementCases implements Cases {
    /// Numbers of elements: one, below and above vector widths, around blocks of 64, many.
    static final int[] LENGTHS = {1, 3, 7, 13, 17, 31, 33, 63, 64, 100, 207, 4099, 40_003};
    /// Gates at which the sigmoid is 0 or 1 in F32, and a tiny one.
    private static final float[] EXTREME = {-200, -90, -1e-30f, 0, 90, 200};

    public record Fill(int n) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ElementOps.Fill(s.out("x", EXACT, n), -0.3f));
        }
    }

    public record Copy(int n) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ElementOps.Copy(s.in("x", 1, n), s.out("y", EXACT, n)));
        }
    }

    public record Add(int n) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ElementOps.Add(s.in("x", 1, n), s.in("y", 1, n), s.out("out", roundings(1), n)));
        }
    }

    public record Axpy(int n) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ElementOps.Axpy(-0.7f, s.in("x", 1, n), s.inout("y", 1, roundings(3), n)));
        }
    }

    /// @param inPlace y is x
    public record Scale(int n, boolean inPlace) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = inPlace ? s.inout("x", 1, roundings(1), n) : s.in("x", 1, n);
            Buf y = inPlace ? x : s.out("y", roundings(1), n);
            s.op(new ElementOps.Scale(-0.7, x, y));
            if (s.differences())
                s.op(new ElementOps.Scale(-0.7, s.cotangent("dY", y), s.gradient("dX", x, EXACT, false)));
        }
    }

    /// @param extreme gates beyond the range of exp
    public record SwiGlu(int n, boolean extreme) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ElementOps.SwiGlu(gate(s, n, extreme), s.in("up", 1, n), s.out("out", roundings(16), n)));
        }
    }

    /// @param gateInPlace dGate replaces gate
    /// @param upInPlace dUp replaces up
    public record SwiGluGrad(int n, boolean extreme, boolean gateInPlace, boolean upInPlace) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf gate = gateInPlace ? s.inout("gate", 2, roundings(24), n) : gate(s, n, extreme);
            Buf up = upInPlace ? s.inout("up", 1, roundings(16), n) : s.in("up", 1, n);
            Buf out = s.result("out", n);
            s.forward(new ElementOps.SwiGlu(gate, up, out));
            s.op(new ElementOps.SwiGluGrad(gate, up, s.cotangent("dOut", out),
                    gateInPlace ? gate : s.gradient("dGate", gate, roundings(24), false),
                    upInPlace ? up : s.gradient("dUp", up, roundings(16), false)));
        }
    }

    private static Buf gate(OpCase.Setup s, int n, boolean extreme) {
        return extreme ? s.in("gate", EXTREME.clone(), n) : s.in("gate", 4, n);
    }

    public record Dropout(int n, float p, boolean accumulate) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, n);
            Buf seed = s.ints("seed", s.random().nextInt());
            Buf y = accumulate ? s.inout("y", 1, roundings(4), n) : s.out("y", roundings(3), n);
            s.op(new ElementOps.Dropout(x, seed, y, 7 + n, p, accumulate));
            if (s.differences())
                s.op(new ElementOps.Dropout(s.cotangent("dY", y), seed, s.gradient("dX", x, EXACT, accumulate), 7 + n,
                        p, accumulate));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int n : LENGTHS) {
            out.addAll(List.of(new Fill(n), new Copy(n), new Add(n), new Axpy(n), new Scale(n, false),
                    new Scale(n, true), new SwiGlu(n, false), new SwiGluGrad(n, false, false, false)));
            for (float p : new float[] {0f, 0.1f, 0.5f, 0.9f})
                for (boolean accumulate : new boolean[] {false, true})
                    out.add(new Dropout(n, p, accumulate));
        }
        out.add(new SwiGlu(EXTREME.length, true));
        out.add(new SwiGluGrad(EXTREME.length, true, false, false));
        for (int n : new int[] {1, 33, 1000}) {
            out.add(new SwiGluGrad(n, false, true, true));
            out.add(new SwiGluGrad(n, false, false, true));
        }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int n = z.N() * z.C();
        int inner = z.N() * z.F();
        return List.of(new Fill(n), new Copy(n), new Add(n), new Axpy(n), new Scale(n, false),
                new SwiGlu(inner, false), new SwiGluGrad(inner, false, false, false), new Dropout(n, 0.1f, false));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new Scale(13, false), new SwiGluGrad(13, false, false, false), new Dropout(33, 0.3f, false),
                new Dropout(33, 0.3f, true));
    }
}
