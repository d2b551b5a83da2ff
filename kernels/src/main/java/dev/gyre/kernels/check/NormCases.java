package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.NormOps;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Cases of [NormOps].
final class NormCases implements Cases {
    /// Large enough to matter where gradients are compared with finite differences.
    private static float eps(OpCase.Setup s) {
        return s.differences() ? 1e-2f : 1e-5f;
    }

    /// @param small small values and a row of zeros, where eps matters
    /// @param offset added to the weights
    public record RmsNorm(int N, int C, boolean small, double offset) implements OpCase {
        @Override
        public void emit(Setup s) {
            float[] x = s.normal(small ? 1e-3 : 3, N, C);
            if (small)
                Arrays.fill(x, C, 2 * C, 0f);
            s.op(new NormOps.RmsNorm(s.in("x", x, N, C), s.in("weight", 1, C), s.out("y", sum(C), N, C),
                    s.out("rstd", sum(C), N), N, C, small ? 1e-6f : eps(s), offset));
        }
    }

    public record RmsNormGrad(int N, int C, boolean accumulate, double offset) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 3, N, C);
            Buf weight = s.in("weight", 1, C);
            Buf rstd = rstd(s, x, N, C);
            Buf y = s.result("y", N, C);
            s.forward(new NormOps.RmsNorm(x, weight, y, rstd, N, C, eps(s), offset));
            // with C = 1 nothing but eps keeps the two terms of dX, of about dY, from cancelling: no order of summation
            // helps, their own roundings remain
            s.op(new NormOps.RmsNormGrad(x, weight, rstd, s.cotangent("dY", y),
                    s.gradient("dX", x, sum(C).cancelling(1), accumulate), N, C, accumulate, offset));
        }
    }

    public record RmsNormWeightGrad(int N, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 3, N, C);
            Buf weight = s.variable("weight", 1, C);
            Buf rstd = rstd(s, x, N, C);
            Buf y = s.result("y", N, C);
            s.forward(new NormOps.RmsNorm(x, weight, y, rstd, N, C, eps(s)));
            s.op(new NormOps.RmsNormWeightGrad(x, rstd, s.cotangent("dY", y),
                    s.gradient("dWeight", weight, sum(N), true), N, C));
        }
    }

    private static Buf rstd(OpCase.Setup s, Buf x, int N, int C) {
        return s.saved("rstd", () -> {
            float[] values = s.values(x);
            float[] rstd = new float[N];
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int c = 0; c < C; c++)
                    sum += (double) values[i * C + c] * values[i * C + c];
                rstd[i] = (float) (1 / Math.sqrt(sum / C + 1e-5));
            }
            return rstd;
        }, N);
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : ColumnCases.ROWS) {
            int N = z[0];
            int C = z[1];
            out.addAll(List.of(new RmsNorm(N, C, false, 0), new RmsNormGrad(N, C, false, 0),
                    new RmsNormGrad(N, C, true, 0),
                    new RmsNorm(N, C, false, 1), new RmsNormGrad(N, C, false, 1), new RmsNormWeightGrad(N, C)));
        }
        out.add(new RmsNorm(3, 33, true, 0));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        return List.of(new RmsNorm(z.N(), z.C(), false, 0), new RmsNormGrad(z.N(), z.C(), true, 0),
                new RmsNormWeightGrad(z.N(), z.C()));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new RmsNormGrad(3, 7, false, 0), new RmsNormGrad(3, 7, true, 0), new RmsNormGrad(3, 7, false, 1),
                new RmsNormWeightGrad(3, 7),
                new RmsNormWeightGrad(5, 3));
    }

    @Override
    public List<OpCase> timed() {
        return List.of(new RmsNorm(207, 702, false, 0), new RmsNormGrad(207, 702, false, 0));
    }
}
