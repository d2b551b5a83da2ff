package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.roundings;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/// Cases of [ColumnOps].
final class ColumnCases implements Cases {
    /// (N, C) of operations on rows.
    static final int[][] ROWS = {{1, 1}, {1, 7}, {3, 5}, {17, 1}, {5, 33}, {31, 63}, {7, 100}, {13, 207}, {64, 64},
        {130, 258}, {3, 4099}};

    public record AddBias(int N, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ColumnOps.AddBias(s.inout("y", 1, roundings(1), N, C), s.in("bias", 1, C), N, C));
        }
    }

    public record BiasGrad(int N, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf bias = s.variable("bias", 1, C);
            Buf y = s.result("y", N, C);
            s.forward(new ElementOps.Fill(y, 1f));
            s.forward(new ColumnOps.AddBias(y, bias, N, C));
            s.op(new ColumnOps.BiasGrad(s.cotangent("dY", y), s.gradient("dBias", bias, sum(N), true), N, C));
        }
    }

    /// @param inPlace y is x
    public record ScaleColumns(int N, int C, boolean inPlace) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = inPlace ? s.inout("x", 1, roundings(1), N, C) : s.in("x", 1, N, C);
            Buf scale = s.in("s", 1, C);
            Buf y = inPlace ? x : s.out("y", roundings(1), N, C);
            s.op(new ColumnOps.ScaleColumns(x, scale, y, N, C));
            if (s.differences())
                s.op(new ColumnOps.ScaleColumns(s.cotangent("dY", y), scale, s.gradient("dX", x, EXACT, false), N, C));
        }
    }

    public record ColumnDot(int N, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, N, C);
            Buf scale = s.variable("s", 1, C);
            Buf scaled = s.result("scaled", N, C);
            s.forward(new ColumnOps.ScaleColumns(x, scale, scaled, N, C));
            // products and the value they are added to have any sign: with few columns all results may be small beside both
            s.op(new ColumnOps.ColumnDot(x, s.cotangent("y", scaled),
                    s.gradient("out", scale, sum(N).cancelling(1), true), N, C));
        }
    }

    public record PermuteColumns(int N, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, N, C);
            int[] perm = permutation(C, s.random());
            Buf y = s.out("y", EXACT, N, C);
            s.op(new ColumnOps.PermuteColumns(x, s.ints("perm", perm), y, N, C));
            if (s.differences()) {
                int[] inverse = new int[C];
                for (int j = 0; j < C; j++)
                    inverse[perm[j]] = j;
                s.op(new ColumnOps.PermuteColumns(s.cotangent("dY", y), s.ints("inverse", inverse),
                        s.gradient("dX", x, EXACT, false), N, C));
            }
        }
    }

    private static int[] permutation(int n, Random random) {
        int[] perm = new int[n];
        for (int i = 0; i < n; i++) {
            int j = random.nextInt(i + 1);
            perm[i] = perm[j];
            perm[j] = i;
        }
        return perm;
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : ROWS) {
            int N = z[0];
            int C = z[1];
            out.addAll(List.of(new AddBias(N, C), new BiasGrad(N, C), new ScaleColumns(N, C, false),
                    new ScaleColumns(N, C, true), new ColumnDot(N, C), new PermuteColumns(N, C)));
        }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int N = z.N();
        int C = z.C();
        return List.of(new AddBias(N, C), new BiasGrad(N, C), new ScaleColumns(N, C, false), new ColumnDot(N, C),
                new PermuteColumns(N, C));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new BiasGrad(5, 3), new ScaleColumns(5, 3, false), new ColumnDot(5, 3),
                new PermuteColumns(2, 4));
    }
}
