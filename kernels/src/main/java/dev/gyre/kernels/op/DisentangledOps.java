package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;
import static dev.gyre.kernels.op.Checks.present;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// DeBERTa's attention, whose scores depend on contents and on relative positions. Letters and conventions are those of
/// [Op]; `R` is the number of relative positions.
public sealed interface DisentangledOps extends Op {
    /// Attention in both directions: q, k, v, out (B*T, H*D), lse (B*T, H) the log of the softmax denominators. Query i sees
    /// key j when `start[i] <= j < end[i]`, positions within the sequence ([AttentionOps.Attention]); its score is
    ///
    ///     scale (q[i] . k[j] + q[i] . posK[index(i - j)] + k[j] . posQ[mirror(i - j)])
    ///
    /// with posK, posQ (R, H*D), either of which may be absent, and `index`, `mirror` (2 T - 1) I32 below R, whose element
    /// `i - j + T - 1` belongs to the distance `i - j`. No T x T matrix is stored.
    record DisentangledAttention(Buf q, Buf k, Buf v, @Nullable Buf posK, @Nullable Buf posQ, Buf index, Buf mirror,
            Buf start, Buf end, Buf out, Buf lse, int B, int T, int H, int D, int R, double scale)
            implements DisentangledOps {
        public DisentangledAttention {
            long n = (long) B * T * H * D;
            check(q.size() == n && k.size() == n && v.size() == n && out.size() == n && lse.size() == (long) B * T * H
                    && start.size() == (long) B * T && end.size() == start.size() && index.size() == 2L * T - 1
                    && mirror.size() == index.size() && (posK == null || posK.size() == (long) R * H * D)
                    && (posQ == null || posQ.size() == (long) R * H * D), "DisentangledAttention", q, k, v, index,
                    mirror, start, end, out, lse);
        }

        @Override
        public List<Access> accesses() {
            return present(read(q), read(k), read(v), posK == null ? null : read(posK),
                    posQ == null ? null : read(posQ), read(index), read(mirror), read(start), read(end), write(out),
                    write(lse));
        }

        @Override
        public long flops() {
            return 4L * B * H * D * T * T + (posK == null ? 0 : 2L * B * H * D * T * R)
                    + (posQ == null ? 0 : 2L * B * H * D * T * R);
        }
    }

    /// Gradient of [DisentangledAttention], everything overwritten. dPosK and dPosQ (R, H*D) are absent where the
    /// operands are.
    record DisentangledAttentionGrad(Buf q, Buf k, Buf v, @Nullable Buf posK, @Nullable Buf posQ, Buf index,
            Buf mirror, Buf start, Buf end, Buf out, Buf lse, Buf dOut, Buf dQ, Buf dK, Buf dV, @Nullable Buf dPosK,
            @Nullable Buf dPosQ, int B, int T, int H, int D, int R, double scale) implements DisentangledOps {
        public DisentangledAttentionGrad {
            long n = (long) B * T * H * D;
            check(q.size() == n && k.size() == n && v.size() == n && out.size() == n && dOut.size() == n
                    && dQ.size() == n && dK.size() == n && dV.size() == n && lse.size() == (long) B * T * H
                    && start.size() == (long) B * T && end.size() == start.size() && index.size() == 2L * T - 1
                    && mirror.size() == index.size() && (posK == null) == (dPosK == null)
                    && (posQ == null) == (dPosQ == null), "DisentangledAttentionGrad", q, k, v, index, mirror, start,
                    end, out, lse, dOut, dQ, dK, dV);
        }

        @Override
        public List<Access> accesses() {
            return present(read(q), read(k), read(v), posK == null ? null : read(posK),
                    posQ == null ? null : read(posQ), read(index), read(mirror), read(start), read(end), read(out),
                    read(lse), read(dOut), write(dQ), write(dK), write(dV), dPosK == null ? null : write(dPosK),
                    dPosQ == null ? null : write(dPosQ));
        }

        @Override
        public long flops() {
            return 10L * B * H * D * T * T + (posK == null ? 0 : 6L * B * H * D * T * R)
                    + (posQ == null ? 0 : 6L * B * H * D * T * R);
        }
    }
}
