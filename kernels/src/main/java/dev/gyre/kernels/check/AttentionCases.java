package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/// Cases of [AttentionOps].
final class AttentionCases implements Cases {
    /// Where the sequences of a row start.
    public enum Start {
        /// One sequence per row.
        ZEROS,
        /// Several examples packed in a row.
        PACKED,
        /// Padding on the left.
        PADDED;

        @Override
        public String toString() {
            return this == ZEROS ? "" : name().toLowerCase(Locale.ROOT);
        }

        int[] of(int B, int T, Random random) {
            int[] out = new int[B * T];
            for (int b = 0; b < B; b++) {
                int first = 0;
                int pad = this == PADDED ? random.nextInt(T) : 0;
                for (int i = 0; i < T; i++) {
                    if (this == PACKED && random.nextInt(6) == 0)
                        first = i;
                    out[b * T + i] = this == PACKED ? first : Math.min(i, pad);
                }
            }
            return out;
        }
    }

    /// exp of scores to about 10 multiplies their rounding by as much; then sums over keys and over D.
    private static Tol tol(int keys, int D) {
        return relative(64 * Tol.ROUNDING + sum(keys).rtol() + sum(D).rtol(), "exp of scores to 10, sums over T, D");
    }

    private static float scale(int D) {
        return (float) (1 / Math.sqrt(D));
    }

    public record Attention(int B, int T, int H, int KV, int D, int window, Start start) implements OpCase {
        @Override
        public void emit(Setup s) {
            int N = B * T;
            s.op(new AttentionOps.Attention(s.in("q", 2, N, H * D), s.in("k", 1, N, KV * D), s.in("v", 1, N, KV * D),
                    s.ints("start", start.of(B, T, s.random())), s.out("out", tol(T, D), N, H * D),
                    s.out("lse", tol(T, D), N, H), B, T, H, KV, D, scale(D), window));
        }
    }

    /// The gradient after the forward operation, whose results it reads.
    public record AttentionGrad(int B, int T, int H, int KV, int D, int window, Start start) implements OpCase {
        @Override
        public void emit(Setup s) {
            int N = B * T;
            Buf q = s.in("q", 2, N, H * D);
            Buf k = s.in("k", 1, N, KV * D);
            Buf v = s.in("v", 1, N, KV * D);
            Buf first = s.ints("start", start.of(B, T, s.random()));
            Buf out = s.out("out", tol(T, D), N, H * D);
            Buf lse = s.out("lse", tol(T, D), N, H);
            s.op(new AttentionOps.Attention(q, k, v, first, out, lse, B, T, H, KV, D, scale(D), window));
            Tol twice = relative(2 * tol(T, D).rtol(), "twice the forward's: two such factors");
            // dQ and dK are zero but for rounding where one key is visible; then dOut.v sets the scale of errors
            Tol difference = new Tol(16 * Math.sqrt(D) * Tol.ROUNDING, twice.rtol(), "cancelling dP - delta");
            s.op(new AttentionOps.AttentionGrad(q, k, v, first, out, lse, s.cotangent("dOut", out),
                    s.out("delta", twice, N, H), s.gradient("dQ", q, difference, false),
                    s.gradient("dK", k, difference, false), s.gradient("dV", v, twice, false), B, T, H, KV, D,
                    scale(D), window));
        }
    }

    /// @param P rows of the caches
    /// @param from the first row to store
    public record CacheStore(int T, int P, int from, int C) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new AttentionOps.CacheStore(s.in("k", 1, T, C), s.in("v", 1, T, C), s.inout("kCache", 1, EXACT, P, C),
                    s.inout("vCache", 1, EXACT, P, C), s.ints("start", from), T, P, C));
        }
    }

    /// @param P rows of the caches
    /// @param from position of the first query
    public record CachedAttention(int T, int P, int from, int H, int KV, int D, int window) implements OpCase {
        @Override
        public void emit(Setup s) {
            float[] k = s.normal(1, P, KV * D);
            float[] v = s.normal(1, P, KV * D);
            // rows that no query sees: reading them gives NaN
            Arrays.fill(k, (from + T) * KV * D, k.length, Float.NaN);
            Arrays.fill(v, (from + T) * KV * D, v.length, Float.NaN);
            s.op(new AttentionOps.CachedAttention(s.in("q", 2, T, H * D), s.in("kCache", k, P, KV * D),
                    s.in("vCache", v, P, KV * D), s.ints("start", from), s.out("out", tol(P, D), T, H * D), T, P, H, KV,
                    D, scale(D), window));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (Attention a : List.of(new Attention(1, 1, 1, 1, 1, 0, Start.ZEROS),
                new Attention(2, 5, 3, 1, 7, 0, Start.ZEROS), new Attention(2, 17, 4, 2, 16, 0, Start.PACKED),
                new Attention(1, 33, 4, 4, 8, 5, Start.ZEROS), new Attention(2, 31, 6, 2, 13, 7, Start.PACKED),
                new Attention(3, 9, 2, 2, 3, 1, Start.ZEROS), new Attention(1, 63, 2, 1, 32, 100, Start.PADDED),
                new Attention(3, 13, 5, 5, 33, 0, Start.PADDED), new Attention(1, 207, 3, 3, 17, 31, Start.PACKED),
                new Attention(1, 130, 4, 2, 64, 0, Start.PACKED), new Attention(2, 65, 8, 2, 128, 0, Start.ZEROS),
                new Attention(1, 130, 2, 1, 16, 70, Start.PACKED), new Attention(1, 37, 2, 1, 80, 0, Start.PACKED),
                new Attention(1, 35, 1, 1, 96, 20, Start.ZEROS), new Attention(1, 34, 1, 1, 192, 0, Start.PADDED),
                new Attention(1, 33, 2, 2, 256, 9, Start.PACKED), new Attention(1, 403, 3, 1, 19, 0, Start.ZEROS),
                new Attention(2, 250, 2, 2, 8, 90, Start.PADDED),
                // many heads: a gradient's chunk holds several tiles of queries and of keys; then two such chunks
                new Attention(4, 130, 8, 4, 8, 0, Start.PACKED), new Attention(4, 150, 4, 4, 5, 40, Start.PADDED),
                new Attention(4, 300, 2, 2, 8, 0, Start.PACKED))) {
            out.add(a);
            out.add(new AttentionGrad(a.B, a.T, a.H, a.KV, a.D, a.window, a.start));
        }
        for (int[] z : new int[][] {{1, 1, 0, 1}, {1, 7, 6, 5}, {3, 10, 4, 33}, {17, 63, 0, 64}, {5, 207, 100, 258}})
            out.add(new CacheStore(z[0], z[1], z[2], z[3]));
        for (int[] z : new int[][] {{1, 1, 0, 1, 1, 1, 0}, {1, 9, 5, 3, 1, 7, 0}, {3, 17, 4, 4, 2, 16, 0},
            {5, 33, 11, 6, 2, 13, 7}, {1, 300, 207, 8, 2, 64, 0}, {33, 64, 0, 2, 2, 32, 31}, {7, 31, 24, 3, 3, 33, 1}})
            out.add(new CachedAttention(z[0], z[1], z[2], z[3], z[4], z[5], z[6]));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int T = z.T();
        return List.of(new Attention(z.B(), T, z.H(), z.KV(), z.D(), 0, Start.ZEROS),
                new AttentionGrad(z.B(), T, z.H(), z.KV(), z.D(), 0, Start.ZEROS),
                // one token at the end of a full cache
                new CacheStore(1, T, T - 1, z.KV() * z.D()),
                new CachedAttention(1, T, T - 1, z.H(), z.KV(), z.D(), 0));
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (int window : new int[] {0, 3})
            for (int kv : new int[] {1, 2, 4})
                for (Start start : List.of(Start.PACKED, Start.PADDED))
                    out.add(new AttentionGrad(2, 6, 4, kv, 3, window, start));
        return out;
    }

    @Override
    public List<OpCase> timed() {
        return List.of(new Attention(1, 207, 6, 2, 26, 0, Start.ZEROS),
                new AttentionGrad(1, 207, 6, 2, 26, 0, Start.ZEROS));
    }
}
