package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.LayerNormOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [LayerNormOps].
final class LayerNormCases implements Cases {
    /// Large enough to matter where gradients are compared with finite differences, and where a row is a single value, whose
    /// variance is 0.
    private static double eps(OpCase.Setup s, int C) {
        return s.differences() || C == 1 ? 1e-2 : 1e-5;
    }

    /// A mean beside values of 3: what subtracting it costs.
    private static Buf values(OpCase.Setup s, int N, int C) {
        float[] x = s.normal(3, N, C);
        for (int i = 0; i < x.length; i++)
            x[i] += 2f;
        return s.in("x", x, N, C);
    }

    private static Tol tol(int C) {
        return sum(C).cancelling(4);
    }

    public record LayerNorm(int N, int C, boolean bias) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new LayerNormOps.LayerNorm(values(s, N, C), s.in("weight", 1, C), bias ? s.in("bias", 1, C) : null,
                    s.out("y", tol(C), N, C), s.out("mean", tol(C), N), s.out("rstd", tol(C), N), N, C, eps(s, C)));
        }
    }

    public record LayerNormGrad(int N, int C, boolean accumulate) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = values(s, N, C);
            Buf weight = s.in("weight", 1, C);
            Buf y = s.result("y", N, C);
            Buf mean = mean(s, x, N, C);
            Buf rstd = rstd(s, x, N, C);
            s.forward(new LayerNormOps.LayerNorm(x, weight, null, y, mean, rstd, N, C, eps(s, C)));
            // with few columns the three terms cancel to almost nothing: their own roundings, times rstd, remain
            s.op(new LayerNormOps.LayerNormGrad(x, weight, mean, rstd, s.cotangent("dY", y),
                    s.gradient("dX", x, sum(C).cancelling(C < 8 ? 100 : 4), accumulate), N, C, accumulate));
        }
    }

    public record LayerNormWeightGrad(int N, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = values(s, N, C);
            Buf weight = s.variable("weight", 1, C);
            Buf y = s.result("y", N, C);
            Buf mean = mean(s, x, N, C);
            Buf rstd = rstd(s, x, N, C);
            s.forward(new LayerNormOps.LayerNorm(x, weight, null, y, mean, rstd, N, C, eps(s, C)));
            s.op(new LayerNormOps.LayerNormWeightGrad(x, mean, rstd, s.cotangent("dY", y),
                    s.gradient("dWeight", weight, sum(N).cancelling(1), true), N, C));
        }
    }

    private static double mean(float[] x, int row, int C) {
        double sum = 0;
        for (int c = 0; c < C; c++)
            sum += x[row * C + c];
        return sum / C;
    }

    private static Buf mean(OpCase.Setup s, Buf x, int N, int C) {
        return s.saved("mean", () -> {
            float[] mean = new float[N];
            for (int i = 0; i < N; i++)
                mean[i] = (float) mean(s.values(x), i, C);
            return mean;
        }, N);
    }

    private static Buf rstd(OpCase.Setup s, Buf x, int N, int C) {
        return s.saved("rstd", () -> {
            float[] values = s.values(x);
            float[] rstd = new float[N];
            for (int i = 0; i < N; i++) {
                double m = mean(values, i, C);
                double squares = 0;
                for (int c = 0; c < C; c++)
                    squares += (values[i * C + c] - m) * (values[i * C + c] - m);
                rstd[i] = (float) (1 / Math.sqrt(squares / C + eps(s, C)));
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
            out.addAll(List.of(new LayerNorm(N, C, true), new LayerNorm(N, C, false), new LayerNormGrad(N, C, false),
                    new LayerNormGrad(N, C, true), new LayerNormWeightGrad(N, C)));
        }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        return List.of(new LayerNorm(z.N(), z.C(), true), new LayerNormGrad(z.N(), z.C(), true),
                new LayerNormWeightGrad(z.N(), z.C()));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new LayerNormGrad(3, 7, false), new LayerNormGrad(3, 7, true), new LayerNormWeightGrad(3, 7),
                new LayerNormWeightGrad(5, 3));
    }
}
