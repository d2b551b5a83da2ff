package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [TokenOps].
final class TokenCases implements Cases {
    /// @param trained the table is a parameter, not a frozen weight
    public record Embed(DType type, int N, int V, int C, boolean trained) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new TokenOps.Embed(s.ints("ids", s.below(V, N)),
                    trained ? s.in("table", 1, V, C) : s.weight("table", type, 1, V, C), s.out("out", EXACT, N, C), N,
                    V, C));
        }
    }

    /// @param oneId all rows have the same id
    public record EmbedGrad(int N, int V, int C, boolean oneId) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf ids = s.ints("ids", oneId ? new int[N] : s.below(V, N));
            Buf table = s.variable("table", 1, V, C);
            Buf out = s.result("out", N, C);
            s.forward(new TokenOps.Embed(ids, table, out, N, V, C));
            s.op(new TokenOps.EmbedGrad(ids, s.cotangent("dOut", out), s.gradient("dTable", table, sum(N), true), N, V,
                    C));
        }
    }

    /// Which labels are [TokenOps.CrossEntropy#IGNORE].
    public enum Ignored {
        NONE, SOME, ALL;

        @Override
        public String toString() {
            return switch (this) {
                case NONE -> "";
                case SOME -> "some ignored";
                case ALL -> "all ignored";
            };
        }
    }

    /// @param extreme two rows of three logits beyond the range of exp
    public record CrossEntropy(int N, int V, boolean gradient, Ignored ignored, boolean extreme) implements OpCase {
        public CrossEntropy(int N, int V, boolean gradient) {
            this(N, V, gradient, Ignored.NONE, false);
        }

        @Override
        public void emit(Setup s) {
            int[] labels = s.below(V, N);
            for (int i = 0; i < N; i++)
                if (ignored == Ignored.ALL || ignored == Ignored.SOME && i % 3 != 1)
                    labels[i] = TokenOps.CrossEntropy.IGNORE;
            // logits to about 60: one rounding there is 4e-6 in the exponent; to 1000: half an ulp there is 3e-5
            Tol loss = extreme ? new Tol(1e-4, 1e-4, "logits to 1000")
                    : new Tol(4e-6, 2e-5 + sum(V).rtol(), "exponents to 100, sum over V");
            // finite differences need a softmax that is not saturated
            float[] values = extreme ? new float[] {1000, 990, -1000, -1000, -1001, -1002}
                    : s.normal(s.differences() ? 2 : 15, N, V);
            float factor = 0.037f;
            // where a label's probability is about 1, the rounding of the exponent is all that remains of p - 1
            Tol change = new Tol(factor * loss.atol(), extreme ? 2e-4 : loss.rtol(), loss.why());
            Buf logits = gradient ? s.inout("logits", values, change, N, V) : s.in("logits", values, N, V);
            Buf rowLoss = s.out("rowLoss", loss, N);
            Buf label = s.ints("labels", labels);
            Buf scale = s.in("scale", new float[] {factor}, 1);
            s.op(new TokenOps.CrossEntropy(logits, label, rowLoss, scale, N, V, gradient));
            if (s.differences()) {
                s.loss(rowLoss, factor);
                if (gradient) {
                    s.becomesGradient(logits);
                } else {
                    Buf d = s.gradient("dLogits", logits, EXACT, false);
                    s.op(new ElementOps.Copy(logits, d));
                    s.op(new TokenOps.CrossEntropy(d, label, s.out("rowLoss again", EXACT, N), scale, N, V, true));
                }
            }
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : new int[][] {{1, 1, 1}, {5, 7, 3}, {33, 13, 31}, {100, 17, 64}, {207, 300, 100},
            {7, 50, 1030}}) {
            out.add(new Embed(DType.F32, z[0], z[1], z[2], false));
            out.add(new Embed(DType.BF16, z[0], z[1], z[2], false));
            out.add(new EmbedGrad(z[0], z[1], z[2], false));
        }
        out.add(new Embed(DType.F32, 3, 3, 5, true));
        out.add(new EmbedGrad(100, 2, 33, true));
        for (int[] z : new int[][] {{1, 1}, {3, 2}, {7, 33}, {31, 100}, {13, 207}, {100, 17}, {5, 32_003}})
            for (boolean gradient : new boolean[] {false, true})
                for (Ignored ignored : Ignored.values())
                    out.add(new CrossEntropy(z[0], z[1], gradient, ignored, false));
        out.add(new CrossEntropy(2, 3, true, Ignored.NONE, true));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int N = z.N();
        return List.of(new Embed(DType.F32, N, z.V(), z.C(), false), new Embed(DType.BF16, N, z.V(), z.C(), false),
                new EmbedGrad(N, z.V(), z.C(), false), new CrossEntropy(N, z.V(), false),
                new CrossEntropy(N, z.V(), true));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new EmbedGrad(6, 4, 3, false), new CrossEntropy(4, 7, false, Ignored.SOME, false),
                new CrossEntropy(4, 7, true, Ignored.NONE, false), new CrossEntropy(4, 7, true, Ignored.SOME, false));
    }

    @Override
    public List<OpCase> timed() {
        return List.of(new CrossEntropy(207, 702, false), new CrossEntropy(207, 702, true),
                new CrossEntropy(256, 32_000, false), new CrossEntropy(256, 32_000, true));
    }
}
