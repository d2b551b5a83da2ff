package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.roundings;

import dev.gyre.kernels.op.OptimiserOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [OptimiserOps].
final class OptimiserCases implements Cases {
    /// @param outlier one large element among many small ones
    public record GradNorm(int n, boolean outlier) implements OpCase {
        @Override
        public void emit(Setup s) {
            float[] g = s.normal(outlier ? 0.02 : 1, n);
            if (outlier)
                g[0] = 1000;
            s.op(new OptimiserOps.GradNorm(s.in("grad", g, n), s.out("norm", roundings(outlier ? 4 : 8), 1)));
        }
    }

    /// @param step of the run; the moments of step 1 start as zeros
    public record AdamW(int n, boolean decay, float maxNorm, int step) implements OpCase {
        @Override
        public void emit(Setup s) {
            // a learning rate of 0.5 makes the update as large as the parameter, so that errors show
            float[] hp = {0.5f, 0.9f, 0.999f, 1e-6f, (float) (1 - Math.pow(0.9, step)),
                (float) (1 - Math.pow(0.999, step)), maxNorm, 0.1f};
            float[] v = s.normal(step == 1 ? 0 : 1, n);
            for (int i = 0; i < n; i++)
                v[i] *= v[i];
            s.op(new OptimiserOps.AdamW(s.inout("param", 1, roundings(32), n), s.in("grad", 1, n),
                    s.inout("m", step == 1 ? 0 : 1, roundings(8), n), s.inout("v", v, roundings(8), n),
                    s.in("hp", hp, OptimiserOps.AdamW.HP), s.in("norm", new float[] {7f}, 1), decay));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int n : ElementCases.LENGTHS)
            out.add(new GradNorm(n, false));
        out.add(new GradNorm(50_001, true));
        out.add(new AdamW(40_003, true, 0.5f, 7));
        for (int n : new int[] {1, 3, 33, 100, 4099})
            for (boolean decay : new boolean[] {false, true})
                for (float maxNorm : new float[] {0f, 0.5f, 100f})
                    for (int step : new int[] {1, 7})
                        out.add(new AdamW(n, decay, maxNorm, step));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int n = z.C() * z.F();
        return List.of(new GradNorm(n, false), new AdamW(n, true, 0.5f, 7));
    }

    @Override
    public List<OpCase> timed() {
        return List.of(new AdamW(1_238_016, true, 1f, 7), new AdamW(207, true, 1f, 7));
    }
}
