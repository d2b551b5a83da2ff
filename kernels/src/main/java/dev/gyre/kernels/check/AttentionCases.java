package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.check.OpCase.Setup;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// Cases of [AttentionOps].
final class AttentionCases implements Cases {
    /// Where the sequences of a row start.
    public enum Start {
        /// One sequence per row.
        ZEROS,
        /// Several examples packed in a row.
        PACKED,
        /// Padding on the left.
        PADDED,
        /// Both directions, padding on both sides.
        BOUNDED,
        /// Both directions, each query its own range around it.
        LOCAL;

        boolean bidirectional() {
            return this == BOUNDED || this == LOCAL;
        }

        @Override
        public String toString() {
            return this == ZEROS ? "" : name().toLowerCase(Locale.ROOT);
        }

        int[] of(int B, int T, Setup s) {
            if (this == BOUNDED)
                return bounds(B, T, s, false);
            if (this == LOCAL) {
                int[] local = new int[B * T];
                Arrays.setAll(local, i -> Math.max(0, i % T - 3));
                return local;
            }
            Random random = s.random();
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

    /// The first position that is not padding, the same for a whole sequence, or (`end`) the one after the last.
    static int[] bounds(int B, int T, Setup s, boolean end) {
        int[] out = new int[B * T];
        for (int b = 0; b < B; b++) {
            int pad = T < 3 ? 0 : s.random().nextInt(T / 3);
            Arrays.fill(out, b * T, (b + 1) * T, end ? T - pad : pad);
        }
        return out;
    }

    private static @Nullable Buf end(Setup s, Start start, int B, int T) {
        if (!start.bidirectional())
            return null;
        int[] local = new int[B * T];
        Arrays.setAll(local, i -> Math.min(T, i % T + 5));
        return s.ints("end", start == Start.LOCAL ? local : bounds(B, T, s, true));
    }

    /// exp of scores to about 10 multiplies their rounding by as much; then sums over keys and over D.
    private static Tol tol(int keys, int D) {
        return relative(64 * Tol.ROUNDING + sum(keys).rtol() + sum(D).rtol(), "exp of scores to 10, sums over T, D");
    }

    private static float scale(int D) {
        return (float) (1 / Math.sqrt(D));
    }

    /// @param cap of the scores, 0 for none
    public record Attention(int B, int T, int H, int KV, int D, int window, Start start, float cap)
            implements OpCase {
        Attention(int B, int T, int H, int KV, int D, int window, Start start) {
            this(B, T, H, KV, D, window, start, 0);
        }

        @Override
        public void emit(Setup s) {
            int N = B * T;
            s.op(new AttentionOps.Attention(s.in("q", 2, N, H * D), s.in("k", 1, N, KV * D), s.in("v", 1, N, KV * D),
                    s.ints("start", start.of(B, T, s)), end(s, start, B, T), s.out("out", tol(T, D), N, H * D),
                    s.out("lse", tol(T, D), N, H), B, T, H, KV, D, scale(D), window, cap));
        }
    }

    /// The gradient after the forward operation, whose results it reads.
    public record AttentionGrad(int B, int T, int H, int KV, int D, int window, Start start, float cap)
            implements OpCase {
        @Override
        public void emit(Setup s) {
            int N = B * T;
            Buf q = s.in("q", 2, N, H * D);
            Buf k = s.in("k", 1, N, KV * D);
            Buf v = s.in("v", 1, N, KV * D);
            Buf first = s.ints("start", start.of(B, T, s));
            Buf end = end(s, start, B, T);
            Buf out = s.out("out", tol(T, D), N, H * D);
            Buf lse = s.out("lse", tol(T, D), N, H);
            s.op(new AttentionOps.Attention(q, k, v, first, end, out, lse, B, T, H, KV, D, scale(D), window, cap));
            Tol twice = relative(2 * tol(T, D).rtol(), "twice the forward's: two such factors");
            // dQ and dK are zero but for rounding where one key is visible; then dOut.v sets the scale of errors
            Tol difference = new Tol(16 * Math.sqrt(D) * Tol.ROUNDING, twice.rtol(), "cancelling dP - delta");
            s.op(new AttentionOps.AttentionGrad(q, k, v, first, end, out, lse, s.cotangent("dOut", out),
                    s.out("delta", twice, N, H), s.gradient("dQ", q, difference, false),
                    s.gradient("dK", k, difference, false), s.gradient("dV", v, twice, false), B, T, H, KV, D,
                    scale(D), window, cap));
        }
    }

    /// The rows of T new tokens in the caches: those of one sequence from its position `from` on, or (`apart`) each the
    /// next of a sequence of its own, in the reverse order of the caches' parts.
    private static int[] rows(int T, int P, int from, boolean apart) {
        int[] rows = new int[2 * T];
        for (int i = 0; i < T; i++) {
            rows[i] = apart ? (T - 1 - i) * (P / T) : 0;
            rows[T + i] = apart ? rows[i] + (from + 3 * i) % (P / T) : from + i;
        }
        return rows;
    }

    /// @param P rows of the caches
    /// @param from the first row to store
    /// @param apart whether each row belongs to a sequence of its own
    public record CacheStore(int T, int P, int from, int C, boolean apart) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new AttentionOps.CacheStore(s.in("k", 1, T, C), s.in("v", 1, T, C), s.inout("kCache", 1, EXACT, P, C),
                    s.inout("vCache", 1, EXACT, P, C), s.ints("rows", rows(T, P, from, apart)), T, P, C));
        }
    }

    /// @param P rows of the caches
    /// @param from position of the first query
    /// @param apart whether each query belongs to a sequence of its own
    public record CachedAttention(int T, int P, int from, int H, int KV, int D, int window, float cap, boolean apart)
            implements OpCase {
        @Override
        public void emit(Setup s) {
            float[] k = s.normal(1, P, KV * D);
            float[] v = s.normal(1, P, KV * D);
            int[] rows = rows(T, P, from, apart);
            // rows that no query sees: reading them gives NaN
            for (int r = 0; r < P; r++) {
                int row = r;
                if (IntStream.range(0, T).noneMatch(i -> rows[i] <= row && row <= rows[T + i])) {
                    Arrays.fill(k, r * KV * D, (r + 1) * KV * D, Float.NaN);
                    Arrays.fill(v, r * KV * D, (r + 1) * KV * D, Float.NaN);
                }
            }
            s.op(new AttentionOps.CachedAttention(s.in("q", 2, T, H * D), s.in("kCache", k, P, KV * D),
                    s.in("vCache", v, P, KV * D), s.ints("rows", rows), s.out("out", tol(P, D), T, H * D), T, P, H, KV,
                    D, scale(D), window, cap));
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
                new Attention(4, 300, 2, 2, 8, 0, Start.PACKED),
                // both directions, one chunk of keys and several; caps that are felt
                new Attention(1, 1, 1, 1, 1, 0, Start.BOUNDED), new Attention(2, 5, 3, 1, 7, 0, Start.BOUNDED),
                new Attention(3, 33, 4, 2, 16, 0, Start.BOUNDED), new Attention(2, 197, 3, 3, 64, 0, Start.BOUNDED),
                new Attention(1, 403, 3, 1, 19, 0, Start.BOUNDED), new Attention(4, 300, 2, 2, 8, 0, Start.BOUNDED),
                new Attention(2, 17, 2, 2, 13, 0, Start.LOCAL), new Attention(1, 207, 3, 3, 17, 0, Start.LOCAL),
                new Attention(2, 150, 4, 4, 5, 0, Start.LOCAL), new Attention(2, 5, 3, 1, 7, 0, Start.ZEROS, 2),
                new Attention(2, 31, 6, 2, 13, 7, Start.PACKED, 3), new Attention(1, 403, 3, 1, 19, 0, Start.ZEROS, 4),
                new Attention(2, 65, 8, 2, 128, 0, Start.PADDED, 5),
                new Attention(2, 197, 3, 3, 64, 0, Start.BOUNDED, 3))) {
            out.add(a);
            out.add(new AttentionGrad(a.B, a.T, a.H, a.KV, a.D, a.window, a.start, a.cap));
        }
        for (int[] z : new int[][] {{1, 1, 0, 1}, {1, 7, 6, 5}, {3, 10, 4, 33}, {17, 63, 0, 64}, {5, 207, 100, 258}})
            for (boolean apart : new boolean[] {false, true})
                out.add(new CacheStore(z[0], z[1], z[2], z[3], apart));
        for (int[] z : new int[][] {{1, 1, 0, 1, 1, 1, 0}, {1, 9, 5, 3, 1, 7, 0}, {3, 17, 4, 4, 2, 16, 0},
            {5, 33, 11, 6, 2, 13, 7}, {1, 300, 207, 8, 2, 64, 0}, {33, 64, 0, 2, 2, 32, 31}, {7, 31, 24, 3, 3, 33, 1}})
            for (float cap : new float[] {0, 3})
                for (boolean apart : new boolean[] {false, true})
                    out.add(new CachedAttention(z[0], z[1], z[2], z[3], z[4], z[5], z[6], cap, apart));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int T = z.T();
        return List.of(new Attention(z.B(), T, z.H(), z.KV(), z.D(), 0, Start.ZEROS),
                new AttentionGrad(z.B(), T, z.H(), z.KV(), z.D(), 0, Start.ZEROS, 0),
                new Attention(z.B(), T, z.H(), z.KV(), z.D(), 0, Start.BOUNDED),
                new AttentionGrad(z.B(), T, z.H(), z.KV(), z.D(), 0, Start.BOUNDED, 0),
                // one token at the end of a full cache
                new CacheStore(1, T, T - 1, z.KV() * z.D(), false),
                new CachedAttention(1, T, T - 1, z.H(), z.KV(), z.D(), 0, 0, false));
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (int window : new int[] {0, 3})
            for (int kv : new int[] {1, 2, 4})
                for (Start start : List.of(Start.PACKED, Start.PADDED))
                    for (float cap : new float[] {0, 2})
                        out.add(new AttentionGrad(2, 6, 4, kv, 3, window, start, cap));
        for (int kv : new int[] {1, 4})
            for (Start start : List.of(Start.BOUNDED, Start.LOCAL))
                for (float cap : new float[] {0, 2})
                    out.add(new AttentionGrad(2, 6, 4, kv, 3, 0, start, cap));
        return out;
    }

    @Override
    public List<OpCase> timed() {
        return List.of(new Attention(1, 207, 6, 2, 26, 0, Start.ZEROS),
                new AttentionGrad(1, 207, 6, 2, 26, 0, Start.ZEROS, 0));
    }
}
