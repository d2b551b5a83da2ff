package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DisentangledOps;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// Cases of [DisentangledOps].
final class DisentangledCases implements Cases {
    /// Which relative positions count in the scores.
    public enum Scores {
        BOTH, KEYS, QUERIES, NEITHER;

        boolean keys() {
            return this == BOTH || this == KEYS;
        }

        boolean queries() {
            return this == BOTH || this == QUERIES;
        }

        @Override
        public String toString() {
            return this == BOTH ? "" : name().toLowerCase(Locale.ROOT);
        }
    }

    private static Tol tol(int T, int D) {
        return relative(64 * Tol.ROUNDING + sum(T).rtol() + 3 * sum(D).rtol(), "exp of scores to 10, sums over T, D");
    }

    private static double scale(int D) {
        return 1 / Math.sqrt(3.0 * D);
    }

    private static Buf index(OpCase.Setup s, String name, int T, int R, int sign) {
        int[] index = new int[2 * T - 1];
        for (int d = 0; d < index.length; d++)
            index[d] = Math.clamp(R / 2 + sign * (d - T + 1) / 2, 0, R - 1);
        return s.ints(name, index);
    }

    private static Buf start(OpCase.Setup s, int B, int T) {
        return s.ints("start", AttentionCases.bounds(B, T, s, false));
    }

    private static Buf end(OpCase.Setup s, int B, int T) {
        return s.ints("end", AttentionCases.bounds(B, T, s, true));
    }

    public record DisentangledAttention(int B, int T, int H, int D, int R, Scores scores) implements OpCase {
        @Override
        public void emit(Setup s) {
            int N = B * T;
            int C = H * D;
            s.op(new DisentangledOps.DisentangledAttention(s.in("q", 2, N, C), s.in("k", 1, N, C), s.in("v", 1, N, C),
                    scores.keys() ? s.in("posK", 1, R, C) : null, scores.queries() ? s.in("posQ", 1, R, C) : null,
                    index(s, "index", T, R, 1), index(s, "mirror", T, R, -1), start(s, B, T), end(s, B, T),
                    s.out("out", tol(T, D), N, C), s.out("lse", tol(T, D), N, H), B, T, H, D, R, scale(D)));
        }
    }

    public record DisentangledAttentionGrad(int B, int T, int H, int D, int R, Scores scores) implements OpCase {
        @Override
        public void emit(Setup s) {
            int N = B * T;
            int C = H * D;
            Buf q = s.in("q", 2, N, C);
            Buf k = s.in("k", 1, N, C);
            Buf v = s.in("v", 1, N, C);
            Buf posK = scores.keys() ? s.in("posK", 1, R, C) : null;
            Buf posQ = scores.queries() ? s.in("posQ", 1, R, C) : null;
            Buf index = index(s, "index", T, R, 1);
            Buf mirror = index(s, "mirror", T, R, -1);
            Buf start = start(s, B, T);
            Buf end = end(s, B, T);
            Buf out = s.out("out", tol(T, D), N, C);
            Buf lse = s.out("lse", tol(T, D), N, H);
            s.op(new DisentangledOps.DisentangledAttention(q, k, v, posK, posQ, index, mirror, start, end, out, lse, B,
                    T, H, D, R, scale(D)));
            Tol twice = relative(2 * tol(T, D).rtol(), "twice the forward's: two such factors");
            Tol difference = new Tol(32 * Math.sqrt(D) * Tol.ROUNDING, twice.rtol(), "cancelling dP - delta");
            // a position's gradient is a sum over all pairs at its distances
            Tol positions = new Tol(32 * Math.sqrt((double) D * N) * Tol.ROUNDING, twice.rtol() + sum(N * T).rtol(),
                    "cancelling dP - delta, sums over the pairs");
            s.op(new DisentangledOps.DisentangledAttentionGrad(q, k, v, posK, posQ, index, mirror, start, end, out,
                    lse, s.cotangent("dOut", out), s.gradient("dQ", q, difference, false),
                    s.gradient("dK", k, difference, false), s.gradient("dV", v, twice, false),
                    posK == null ? null : s.gradient("dPosK", posK, positions, false),
                    posQ == null ? null : s.gradient("dPosQ", posQ, positions, false), B, T, H, D, R, scale(D)));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : new int[][] {{1, 1, 1, 1, 1}, {2, 5, 3, 7, 4}, {2, 17, 2, 16, 8}, {1, 33, 1, 13, 64},
            {3, 40, 2, 33, 16}, {1, 130, 2, 64, 48}})
            for (Scores scores : Scores.values()) {
                out.add(new DisentangledAttention(z[0], z[1], z[2], z[3], z[4], scores));
                out.add(new DisentangledAttentionGrad(z[0], z[1], z[2], z[3], z[4], scores));
            }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        return List.of(new DisentangledAttention(z.B(), z.T(), z.H(), z.D(), 64, Scores.BOTH),
                new DisentangledAttentionGrad(z.B(), z.T(), z.H(), z.D(), 64, Scores.BOTH));
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (Scores scores : Scores.values())
            out.add(new DisentangledAttentionGrad(2, 5, 2, 3, 4, scores));
        return out;
    }
}
