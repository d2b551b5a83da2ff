package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.DisentangledOps;
import org.jspecify.annotations.Nullable;

/// DeBERTa's attention over contents and relative positions.
final class DisentangledRef {
    private DisentangledRef() {
    }

    static void run(DisentangledOps op, Operands of) {
        switch (op) {
            case DisentangledOps.DisentangledAttention o ->
                    new Heads(of.vec(o.q()), of.vec(o.k()), of.vec(o.v()), of.optional(o.posK()),
                            of.optional(o.posQ()), of.ints(o.index()), of.ints(o.mirror()), of.ints(o.start()),
                            of.ints(o.end()), o.T(), o.H(), o.D(), o.scale())
                            .forward(of.vec(o.out()), of.vec(o.lse()), o.B());
            case DisentangledOps.DisentangledAttentionGrad o ->
                    new Heads(of.vec(o.q()), of.vec(o.k()), of.vec(o.v()), of.optional(o.posK()),
                            of.optional(o.posQ()), of.ints(o.index()), of.ints(o.mirror()), of.ints(o.start()),
                            of.ints(o.end()), o.T(), o.H(), o.D(), o.scale())
                            .backward(of.vec(o.out()), of.vec(o.lse()), of.vec(o.dOut()), of.vec(o.dQ()),
                                    of.vec(o.dK()), of.vec(o.dV()), of.optional(o.dPosK()), of.optional(o.dPosQ()),
                                    o.B());
        }
    }

    private record Heads(Vec q, Vec k, Vec v, @Nullable Vec posK, @Nullable Vec posQ, int[] index, int[] mirror,
            int[] start, int[] end, int T, int H, int D, double scale) {
        /// First element of head h in row `row` of a matrix (N, H*D).
        private int at(int row, int h) {
            return (row * H + h) * D;
        }

        private double dot(Vec a, int x, Vec b, int y) {
            double sum = 0;
            for (int c = 0; c < D; c++)
                sum += a.get(x + c) * b.get(y + c);
            return sum;
        }

        /// `scale (q[i] . k[j] + q[i] . posK[index(i - j)] + k[j] . posQ[mirror(i - j)])`
        private double score(int b, int i, int j, int h) {
            int qAt = at(b * T + i, h);
            int kAt = at(b * T + j, h);
            double s = dot(q, qAt, k, kAt);
            if (posK != null)
                s += dot(q, qAt, posK, at(index[i - j + T - 1], h));
            if (posQ != null)
                s += dot(k, kAt, posQ, at(mirror[i - j + T - 1], h));
            return scale * s;
        }

        /// `lse = log sum exp s`, `out_i = sum_j exp(s_j - lse) v_j` over the visible j.
        void forward(Vec out, Vec lse, int B) {
            out.fill(0);
            for (int b = 0; b < B; b++)
                for (int i = 0; i < T; i++)
                    for (int h = 0; h < H; h++) {
                        int row = b * T + i;
                        double max = Double.NEGATIVE_INFINITY;
                        for (int j = start[row]; j < end[row]; j++)
                            max = Math.max(max, score(b, i, j, h));
                        double sum = 0;
                        for (int j = start[row]; j < end[row]; j++)
                            sum += Math.exp(score(b, i, j, h) - max);
                        double l = max + Math.log(sum);
                        lse.set(row * H + h, l);
                        for (int j = start[row]; j < end[row]; j++) {
                            double p = Math.exp(score(b, i, j, h) - l);
                            for (int c = 0; c < D; c++)
                                out.add(at(row, h) + c, p * v.get(at(b * T + j, h) + c));
                        }
                    }
        }

        /// With `P = exp(s - lse)`, `dS = scale P (dOut . v_j - dOut . out)`: `dV_j += P dOut`, and dS times the other factor
        /// for each of the factors of the score.
        void backward(Vec out, Vec lse, Vec dOut, Vec dQ, Vec dK, Vec dV, @Nullable Vec dPosK, @Nullable Vec dPosQ,
                int B) {
            dQ.fill(0);
            dK.fill(0);
            dV.fill(0);
            if (dPosK != null)
                dPosK.fill(0);
            if (dPosQ != null)
                dPosQ.fill(0);
            for (int b = 0; b < B; b++)
                for (int i = 0; i < T; i++)
                    for (int h = 0; h < H; h++) {
                        int row = b * T + i;
                        int qAt = at(row, h);
                        double delta = dot(dOut, qAt, out, qAt);
                        for (int j = start[row]; j < end[row]; j++) {
                            int kAt = at(b * T + j, h);
                            double p = Math.exp(score(b, i, j, h) - lse.get(row * H + h));
                            double dS = scale * p * (dot(dOut, qAt, v, kAt) - delta);
                            for (int c = 0; c < D; c++) {
                                dV.add(kAt + c, p * dOut.get(qAt + c));
                                dQ.add(qAt + c, dS * k.get(kAt + c));
                                dK.add(kAt + c, dS * q.get(qAt + c));
                            }
                            if (posK != null && dPosK != null) {
                                int r = at(index[i - j + T - 1], h);
                                for (int c = 0; c < D; c++) {
                                    dQ.add(qAt + c, dS * posK.get(r + c));
                                    dPosK.add(r + c, dS * q.get(qAt + c));
                                }
                            }
                            if (posQ != null && dPosQ != null) {
                                int r = at(mirror[i - j + T - 1], h);
                                for (int c = 0; c < D; c++) {
                                    dK.add(kAt + c, dS * posQ.get(r + c));
                                    dPosQ.add(r + c, dS * k.get(kAt + c));
                                }
                            }
                        }
                    }
        }
    }
}
