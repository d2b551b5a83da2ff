package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.roundings;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.GivensOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [GivensOps].
public final class GivensCases implements Cases {
    public record GivensAngles(int n) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new GivensOps.GivensAngles(s.in("phi", 0.7, n), s.out("g", roundings(16), n, 4), n));
        }
    }

    public record GivensAnglesGrad(int n) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf phi = s.in("phi", 0.7, n);
            Buf g = s.result("g", n, 4);
            s.forward(new GivensOps.GivensAngles(phi, g, n));
            s.op(new GivensOps.GivensAnglesGrad(phi, s.cotangent("dG", g), s.gradient("dPhi", phi, roundings(24), true),
                    n));
        }
    }

    public record GivensPenalty(int n) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf g = s.in("g", 1, n, 4);
            Buf loss = s.out("loss", sum(n), 1);
            s.op(new GivensOps.GivensPenalty(g, s.gradient("dG", g, roundings(16), true), loss, n, 0.05f));
            if (s.differences())
                s.loss(loss, 1);
        }
    }

    /// @param rotations the 2x2 matrices are rotations (GOFT), not free (qGOFT)
    public record GivensSweep(int N, int d, boolean rotations) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new GivensOps.GivensSweep(s.in("x", 1, N, d), s.in("g", matrices(s, d - 1, rotations), d - 1, 4),
                    s.out("y", pass(d), N, d), N, d));
        }
    }

    public record GivensSweepGrad(int N, int d, boolean rotations, boolean accumulate) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, N, d);
            Buf g = s.in("g", matrices(s, d - 1, rotations), d - 1, 4);
            Buf y = s.result("y", N, d);
            s.forward(new GivensOps.GivensSweep(x, g, y, N, d));
            Tol tol = relative(4 * pass(d).rtol() + sum(N).rtol(), "log2(d) stages there and back, sum over N");
            s.op(new GivensOps.GivensSweepGrad(x, g, s.cotangent("dY", y), s.gradient("dX", x, pass(d), accumulate),
                    s.gradient("dG", g, tol, false), N, d, rotations, accumulate));
        }
    }

    /// Every element passes up to log2(d) stages of two products each.
    private static Tol pass(int d) {
        return relative((4 + 4 * (32 - Integer.numberOfLeadingZeros(d))) * Tol.ROUNDING, "log2(d) stages");
    }

    /// 2x2 matrices: rotations by any angle, or the identity plus noise.
    private static float[] matrices(OpCase.Setup s, int n, boolean rotations) {
        float[] g = s.normal(0.3, n, 4);
        for (int i = 0; i < n; i++) {
            double angle = s.random().nextDouble(-Math.PI, Math.PI);
            if (rotations) {
                g[4 * i] = (float) Math.cos(angle);
                g[4 * i + 1] = (float) -Math.sin(angle);
                g[4 * i + 2] = (float) Math.sin(angle);
                g[4 * i + 3] = (float) Math.cos(angle);
            } else {
                g[4 * i] += 1;
                g[4 * i + 3] += 1;
            }
        }
        return g;
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int n : new int[] {1, 3, 7, 33, 100, 207, 4099})
            out.addAll(List.of(new GivensAngles(n), new GivensAnglesGrad(n), new GivensPenalty(n)));
        for (int[] z : new int[][] {{3, 1}, {1, 2}, {5, 3}, {1, 5}, {7, 7}, {3, 8}, {13, 12}, {17, 31}, {33, 33},
            {31, 64}, {5, 100}, {64, 207}, {130, 256}, {3, 4099}})
            for (boolean rotations : new boolean[] {true, false}) {
                out.add(new GivensSweep(z[0], z[1], rotations));
                out.add(new GivensSweepGrad(z[0], z[1], rotations, false));
                out.add(new GivensSweepGrad(z[0], z[1], rotations, true));
            }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int N = z.N();
        int d = z.C();
        return List.of(new GivensAngles(d - 1), new GivensAnglesGrad(d - 1), new GivensPenalty(d - 1),
                new GivensSweep(N, d, true), new GivensSweepGrad(N, d, true, false),
                new GivensSweepGrad(N, d, false, false));
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>(List.of(new GivensAnglesGrad(7), new GivensPenalty(5)));
        for (int d : new int[] {1, 2, 3, 7, 8, 13})
            for (boolean accumulate : new boolean[] {false, true})
                out.add(new GivensSweepGrad(3, d, false, accumulate));
        return out;
    }

    @Override
    public List<OpCase> timed() {
        return List.of(new GivensSweep(2048, 4096, true), new GivensSweepGrad(2048, 4096, true, false),
                new GivensSweep(207, 702, true), new GivensSweepGrad(207, 702, true, false));
    }
}
