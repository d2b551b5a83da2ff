package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.roundings;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.SubspaceOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [SubspaceOps].
final class SubspaceCases implements Cases {
    /// @param va whether there is a scaling of the columns
    /// @param vb whether there is a scaling of the rows
    public record PsoftCore(int r, boolean va, boolean vb) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new SubspaceOps.PsoftCore(s.in("R", 1, r, r), va ? s.in("va", 1, r) : null,
                    vb ? s.in("vb", 1, r) : null, s.out("core", roundings(6), r, r), r));
        }
    }

    /// @param trained whether the scalings have gradients
    public record PsoftCoreGrad(int r, boolean va, boolean vb, boolean trained) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf R = s.in("R", 1, r, r);
            Buf a = va ? s.in("va", 1, r) : null;
            Buf b = vb ? s.in("vb", 1, r) : null;
            Buf core = s.result("core", r, r);
            s.forward(new SubspaceOps.PsoftCore(R, a, b, core, r));
            s.op(new SubspaceOps.PsoftCoreGrad(R, a, b, s.cotangent("dCore", core),
                    s.gradient("dR", R, roundings(3), false),
                    a != null && trained ? s.gradient("dVa", a, sum(r), true) : null,
                    b != null && trained ? s.gradient("dVb", b, sum(r), true) : null, r));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int r : new int[] {1, 3, 7, 17, 33, 64, 207})
            for (boolean a : new boolean[] {false, true})
                for (boolean b : new boolean[] {false, true}) {
                    out.add(new PsoftCore(r, a, b));
                    out.add(new PsoftCoreGrad(r, a, b, false));
                    if (a || b)
                        out.add(new PsoftCoreGrad(r, a, b, true));
                }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        return List.of(new PsoftCore(64, true, true), new PsoftCoreGrad(64, true, true, true));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new PsoftCoreGrad(4, false, false, false), new PsoftCoreGrad(4, true, false, true),
                new PsoftCoreGrad(4, false, true, true), new PsoftCoreGrad(4, true, true, true));
    }
}
