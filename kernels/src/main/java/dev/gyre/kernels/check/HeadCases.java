package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.roundings;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HeadOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [HeadOps].
final class HeadCases implements Cases {
    /// Ranges of R sequences of T rows, of random lengths at random places in their sequence.
    private record Ranges(int[] from, int[] to) {
        static Ranges of(OpCase.Setup s, int R, int T) {
            int[] from = new int[R];
            int[] to = new int[R];
            for (int r = 0; r < R; r++) {
                from[r] = r * T + s.random().nextInt(T);
                to[r] = from[r] + 1 + s.random().nextInt((r + 1) * T - from[r]);
            }
            return new Ranges(from, to);
        }
    }

    /// @param T rows of a sequence
    public record MeanRows(int R, int T, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            Ranges of = Ranges.of(s, R, T);
            s.op(new HeadOps.MeanRows(s.in("x", 1, R * T, C), s.ints("from", of.from), s.ints("to", of.to),
                    s.out("out", sum(T).cancelling(1), R, C), R * T, R, C));
        }
    }

    public record MeanRowsGrad(int R, int T, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            Ranges of = Ranges.of(s, R, T);
            Buf x = s.variable("x", 1, R * T, C);
            Buf from = s.ints("from", of.from);
            Buf to = s.ints("to", of.to);
            Buf out = s.result("out", R, C);
            s.forward(new HeadOps.MeanRows(x, from, to, out, R * T, R, C));
            s.op(new HeadOps.MeanRowsGrad(s.cotangent("dOut", out), from, to, s.gradient("dX", x, roundings(3), false),
                    R * T, R, C));
        }
    }

    public record RowDot(int N, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new HeadOps.RowDot(s.in("x", 1, N, C), s.in("y", 1, N, C), s.out("out", sum(C).cancelling(1), N), N,
                    C));
        }
    }

    /// The gradient of [RowDot] for its first operand.
    public record ScaleRows(int N, int C, boolean accumulate) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf y = s.in("y", 1, N, C);
            if (s.differences()) {
                Buf x = s.in("x", 1, N, C);
                Buf out = s.result("out", N);
                s.op(new HeadOps.RowDot(x, y, out, N, C));
                s.op(new HeadOps.ScaleRows(y, s.cotangent("dOut", out), s.gradient("dX", x, EXACT, accumulate), N, C,
                        accumulate));
            } else
                s.op(new HeadOps.ScaleRows(y, s.in("s", 1, N),
                        accumulate ? s.inout("x", 1, roundings(3), N, C) : s.out("x", roundings(1), N, C), N, C,
                        accumulate));
        }
    }

    public record BinaryCrossEntropy(int N, int V, boolean gradient) implements OpCase {
        @Override
        public void emit(Setup s) {
            float[] targets = s.normal(1, N, V);
            for (int i = 0; i < targets.length; i++)
                targets[i] = i % 3 == 0 ? 0.25f : targets[i] > 0 ? 1 : 0;
            float[] values = s.normal(s.differences() ? 2 : 15, N, V);
            Tol tol = new Tol(1e-6, 1e-6, "exp and log to a few roundings");
            loss(s, values, targets, tol, gradient, N, V, false);
        }
    }

    public record SquaredError(int N, int V, boolean gradient) implements OpCase {
        @Override
        public void emit(Setup s) {
            loss(s, s.normal(2, N, V), s.normal(1, N, V), sum(V), gradient, N, V, true);
        }
    }

    private static void loss(OpCase.Setup s, float[] values, float[] targets, Tol tol, boolean gradient, int N, int V,
            boolean squared) {
        float factor = 0.37f;
        Buf z = gradient ? s.inout("z", values, tol, N, V) : s.in("z", values, N, V);
        Buf t = s.in("targets", targets, N, V);
        Buf rowLoss = s.out("rowLoss", tol, N);
        Buf scale = s.in("scale", new float[] {factor}, 1);
        s.op(squared ? new HeadOps.SquaredError(z, t, rowLoss, scale, N, V, gradient)
                : new HeadOps.BinaryCrossEntropy(z, t, rowLoss, scale, N, V, gradient));
        if (s.differences()) {
            s.loss(rowLoss, factor);
            if (gradient) {
                s.becomesGradient(z);
            } else {
                Buf d = s.gradient("dZ", z, EXACT, false);
                Buf again = s.out("rowLoss again", EXACT, N);
                s.op(new ElementOps.Copy(z, d));
                s.op(squared ? new HeadOps.SquaredError(d, t, again, scale, N, V, true)
                        : new HeadOps.BinaryCrossEntropy(d, t, again, scale, N, V, true));
            }
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : new int[][] {{1, 1, 1}, {3, 5, 7}, {2, 33, 64}, {5, 17, 207}, {4, 9, 130}})
            out.addAll(List.of(new MeanRows(z[0], z[1], z[2]), new MeanRowsGrad(z[0], z[1], z[2])));
        for (int[] z : ColumnCases.ROWS)
            out.addAll(List.of(new RowDot(z[0], z[1]), new ScaleRows(z[0], z[1], false),
                    new ScaleRows(z[0], z[1], true)));
        for (int[] z : new int[][] {{1, 1}, {3, 1}, {7, 5}, {33, 28}})
            for (boolean gradient : new boolean[] {false, true})
                out.addAll(List.of(new BinaryCrossEntropy(z[0], z[1], gradient),
                        new SquaredError(z[0], z[1], gradient)));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        return List.of(new MeanRows(z.B(), z.T(), z.C()), new MeanRowsGrad(z.B(), z.T(), z.C()),
                new RowDot(z.B(), z.C()), new ScaleRows(z.B(), z.C(), false), new BinaryCrossEntropy(z.B(), 28, true),
                new SquaredError(z.B(), 1, true));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new MeanRowsGrad(3, 5, 4), new ScaleRows(3, 5, false), new ScaleRows(3, 5, true),
                new BinaryCrossEntropy(3, 4, true), new BinaryCrossEntropy(3, 4, false), new SquaredError(3, 4, true),
                new SquaredError(3, 1, false));
    }
}
