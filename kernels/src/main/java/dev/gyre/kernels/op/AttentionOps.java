package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;
import static dev.gyre.kernels.op.Checks.opt;
import static dev.gyre.kernels.op.Checks.present;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// Attention, causal or in both directions, its gradient, and attention over a key/value cache. Letters and conventions are those of [Op].
public sealed interface AttentionOps extends Op {
    /// Attention: q, out (B*T, H*D), k, v (B*T, KV*D), lse (B*T, H) the log of the softmax denominators.
    /// Without `end` it is causal: query i of a sequence sees key j when `start[i] <= j <= i` and, with `window > 0`,
    /// `j > i - window`; `start` (B*T) I32 holds positions within the sequence, `0 <= start[i] <= i`: the first token of
    /// the packed example, or the first that is not padding. With `end` (B*T) I32, query i sees key j when
    /// `start[i] <= j < end[i]`, both directions, `0 <= start[i] < end[i] <= T`, and there is no window: a local layer has
    /// narrower bounds. Query head h uses key/value head `h / (H/KV)`. Scores are scaled by `scale` and, with
    /// `softCap > 0`, become `softCap tanh(score / softCap)`. No T x T matrix is stored: keys are streamed with a running
    /// maximum.
    record Attention(Buf q, Buf k, Buf v, Buf start, @Nullable Buf end, Buf out, Buf lse, int B, int T, int H, int KV,
            int D, double scale, int window, double softCap) implements AttentionOps {
        /// Causal, without a cap.
        public Attention(Buf q, Buf k, Buf v, Buf start, Buf out, Buf lse, int B, int T, int H, int KV, int D,
                double scale, int window) {
            this(q, k, v, start, null, out, lse, B, T, H, KV, D, scale, window, 0);
        }

        public Attention {
            bounds("Attention", start, end, window, softCap);
            long n = (long) B * T;
            check(q.size() == n * H * D && out.size() == q.size() && k.size() == n * KV * D && v.size() == k.size()
                    && lse.size() == n * H && start.size() == n && start.dtype() == DType.I32 && H % KV == 0,
                    "Attention", q, k, v, start, out, lse);
        }

        @Override
        public List<Access> accesses() {
            return present(read(q), read(k), read(v), read(start), opt(end, false), write(out), write(lse));
        }

        @Override
        public long flops() {
            return (end == null ? 2L : 4L) * B * H * D * T * (T + 1L);
        }
    }

    /// Gradient of [Attention], probabilities recomputed from q, k and lse. `delta` (B*T, H) is workspace:
    /// `delta = sum over D of dOut * out`.
    record AttentionGrad(Buf q, Buf k, Buf v, Buf start, @Nullable Buf end, Buf out, Buf lse, Buf dOut, Buf delta,
            Buf dQ, Buf dK, Buf dV, int B, int T, int H, int KV, int D, double scale, int window, double softCap)
            implements AttentionOps {
        /// Causal, without a cap.
        public AttentionGrad(Buf q, Buf k, Buf v, Buf start, Buf out, Buf lse, Buf dOut, Buf delta, Buf dQ, Buf dK,
                Buf dV, int B, int T, int H, int KV, int D, double scale, int window) {
            this(q, k, v, start, null, out, lse, dOut, delta, dQ, dK, dV, B, T, H, KV, D, scale, window, 0);
        }

        public AttentionGrad {
            bounds("AttentionGrad", start, end, window, softCap);
            long n = (long) B * T;
            check(q.size() == n * H * D && out.size() == q.size() && dOut.size() == q.size() && dQ.size() == q.size()
                    && k.size() == n * KV * D && v.size() == k.size() && dK.size() == k.size() && dV.size() == k.size()
                    && lse.size() == n * H && delta.size() == lse.size() && start.size() == n && H % KV == 0,
                    "AttentionGrad", q, k, v, start, out, lse, dOut, delta, dQ, dK, dV);
        }

        @Override
        public List<Access> accesses() {
            return present(read(q), read(k), read(v), read(start), opt(end, false), read(out), read(lse), read(dOut),
                    write(delta), write(dQ), write(dK), write(dV));
        }

        @Override
        public long flops() {
            return (end == null ? 5L : 10L) * B * H * D * T * (T + 1L);
        }
    }

    /// Stores T new keys and values (T, C) in caches (P, C), which several sequences may share: row i goes to row
    /// `rows[1][i]`. `rows` (2, T) I32 is that of [CachedAttention]. Where two go to the same row, they are equal.
    record CacheStore(Buf k, Buf v, Buf kCache, Buf vCache, Buf rows, int T, int P, int C) implements AttentionOps {
        public CacheStore {
            check(k.size() == (long) T * C && v.size() == k.size() && kCache.size() == (long) P * C
                    && vCache.size() == kCache.size() && rows.size() == 2L * T && rows.dtype() == DType.I32,
                    "CacheStore", k, v, kCache, vCache, rows);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(k), read(v), update(kCache), update(vCache), read(rows));
        }
    }

    /// Attention of T new queries (q, out (T, H*D)), of one sequence or of several, over cached keys and values
    /// (P, KV*D). `rows` (2, T) I32 holds cache rows: the first of query i's sequence, then its own, which is the last that
    /// it sees (`window` and `softCap` as in [Attention]). What a query gets does not depend on the others, to the bit.
    record CachedAttention(Buf q, Buf kCache, Buf vCache, Buf rows, Buf out, int T, int P, int H, int KV, int D,
            double scale, int window, double softCap) implements AttentionOps {
        public CachedAttention {
            check(q.size() == (long) T * H * D && out.size() == q.size() && kCache.size() == (long) P * KV * D
                    && vCache.size() == kCache.size() && rows.size() == 2L * T && rows.dtype() == DType.I32
                    && H % KV == 0, "CachedAttention", q, kCache, vCache, rows, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(q), read(kCache), read(vCache), read(rows), write(out));
        }

        @Override
        public long flops() {
            return 4L * T * H * D * P;
        }
    }

    private static void bounds(String op, Buf start, @Nullable Buf end, int window, double softCap) {
        check(end == null || end.size() == start.size() && end.dtype() == DType.I32 && window == 0, op, start);
        if (!(softCap >= 0))
            throw new IllegalArgumentException(op + ": softCap " + softCap);
    }
}
