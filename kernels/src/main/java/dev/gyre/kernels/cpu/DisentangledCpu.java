package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.DisentangledOps;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// DeBERTa's attention and its gradient, a head of a sequence at a time: a row of scores is a sum of rows of the transposed
/// keys, to which the scores against all relative positions are gathered.
final class DisentangledCpu {
    private DisentangledCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, DisentangledOps op, Operands of) {
        return switch (op) {
            case DisentangledOps.DisentangledAttention o -> {
                Heads heads = new Heads(pool, simd, of.at(o.q()), of.at(o.k()), of.at(o.v()), of.optional(o.posK()),
                        of.optional(o.posQ()), of.at(o.index()), of.at(o.mirror()), of.at(o.start()), of.at(o.end()),
                        o.T(), o.H(), o.D(), o.R(), (float) o.scale());
                Operand out = of.at(o.out());
                Operand lse = of.at(o.lse());
                yield () -> pool.forEach(o.B() * o.H(),
                        (item, worker) -> heads.forward(item / o.H(), item % o.H(), out, lse, worker));
            }
            case DisentangledOps.DisentangledAttentionGrad o -> {
                Heads heads = new Heads(pool, simd, of.at(o.q()), of.at(o.k()), of.at(o.v()), of.optional(o.posK()),
                        of.optional(o.posQ()), of.at(o.index()), of.at(o.mirror()), of.at(o.start()), of.at(o.end()),
                        o.T(), o.H(), o.D(), o.R(), (float) o.scale());
                Gradients to = new Gradients(of.at(o.out()), of.at(o.lse()), of.at(o.dOut()), of.at(o.dQ()),
                        of.at(o.dK()), of.at(o.dV()), of.optional(o.dPosK()), of.optional(o.dPosQ()));
                // the sequences of a batch add to the same positions: one item takes them in order
                yield () -> pool.forEach(o.H(), (h, worker) -> {
                    heads.clear(to.dPosK, h);
                    heads.clear(to.dPosQ, h);
                    for (int b = 0; b < o.B(); b++)
                        heads.backward(b, h, to, worker);
                });
            }
        };
    }

    private record Gradients(Operand out, Operand lse, Operand dOut, Operand dQ, Operand dK, Operand dV,
            @Nullable Operand dPosK, @Nullable Operand dPosQ) {
    }

    private record Heads(ThreadPool pool, Simd simd, Operand q, Operand k, Operand v, @Nullable Operand posK,
            @Nullable Operand posQ, Operand index, Operand mirror, Operand start, Operand end, int T, int H, int D,
            int R, float scale) {
        private int width() {
            return H * D;
        }

        /// First element of head h in row `row`.
        private int at(Operand x, int row, int h) {
            return x.off() + row * width() + h * D;
        }

        void clear(@Nullable Operand x, int h) {
            if (x != null)
                for (int r = 0; r < R; r++)
                    Arrays.fill(x.f(), at(x, r, h), at(x, r, h) + D, 0f);
        }

        /// Where the work space of one head lies in a worker's array.
        private record Space(int keys, int values, int posK, int posQ, int p2c, int dP2c, int c2p, int dC2p, int row,
                int dRow, int size) {
        }

        private Space space(boolean backward) {
            int posKeys = D * T;
            int values = posKeys;
            int pos = values + (backward ? D * T : 0);
            int posQ = pos + (posK == null ? 0 : D * R);
            int p2c = posQ + (this.posQ == null ? 0 : D * R);
            int dP2c = p2c + (this.posQ == null ? 0 : T * R);
            int c2p = dP2c + (this.posQ == null || !backward ? 0 : T * R);
            int dC2p = c2p + R;
            int row = dC2p + (backward ? R : 0);
            int dRow = row + T;
            return new Space(0, values, pos, posQ, p2c, dP2c, c2p, dC2p, row, dRow, dRow + (backward ? T : 0));
        }

        /// Transposed keys and positions, and the scores of all keys against all positions.
        private float[] prepare(Space s, int b, int h, boolean backward, int worker) {
            float[] w = pool.scratch(worker, 0, s.size);
            simd.layout().transpose(k.f(), at(k, b * T, h), width(), T, D, w, s.keys, T);
            if (backward)
                simd.layout().transpose(v.f(), at(v, b * T, h), width(), T, D, w, s.values, T);
            if (posK != null)
                simd.layout().transpose(posK.f(), at(posK, 0, h), width(), R, D, w, s.posK, R);
            if (posQ != null) {
                simd.layout().transpose(posQ.f(), at(posQ, 0, h), width(), R, D, w, s.posQ, R);
                for (int j = 0; j < T; j++)
                    products(k.f(), at(k, b * T + j, h), w, s.posQ, R, s.p2c + j * R);
            }
            return w;
        }

        /// `to[0..n-1] = sum over c of x[c] * the row c of a matrix (D, n)`.
        private void products(float[] x, int xo, float[] w, int matrix, int n, int to) {
            Arrays.fill(w, to, to + n, 0f);
            for (int c = 0; c < D; c++)
                simd.elements().axpy(x[xo + c], w, matrix + c * n, w, to, n);
        }

        /// Scores of query i against the keys first..last-1, at the keys' places in `s.row`.
        private void scores(Space s, float[] w, int b, int i, int h, int first, int last) {
            int qAt = at(q, b * T + i, h);
            products(q.f(), qAt, w, s.keys, T, s.row);
            if (posK != null) {
                products(q.f(), qAt, w, s.posK, R, s.c2p);
                for (int j = first; j < last; j++)
                    w[s.row + j] += w[s.c2p + place(index, i - j)];
            }
            if (posQ != null)
                for (int j = first; j < last; j++)
                    w[s.row + j] += w[s.p2c + j * R + place(mirror, i - j)];
            simd.elements().scale(scale, w, s.row + first, w, s.row + first, last - first);
        }

        private int place(Operand table, int distance) {
            return table.i()[table.off() + distance + T - 1];
        }

        private int bound(Operand bounds, int row) {
            return bounds.i()[bounds.off() + row];
        }

        void forward(int b, int h, Operand out, Operand lse, int worker) {
            Space s = space(false);
            float[] w = prepare(s, b, h, false, worker);
            for (int i = 0; i < T; i++) {
                int row = b * T + i;
                int first = bound(start, row);
                int last = bound(end, row);
                scores(s, w, b, i, h, first, last);
                float max = simd.elements().max(w, s.row + first, last - first);
                double sum = simd.softmax().expInPlace(w, s.row + first, max, last - first);
                lse.f()[lse.off() + row * H + h] = (float) (max + Math.log(sum));
                int to = at(out, row, h);
                Arrays.fill(out.f(), to, to + D, 0f);
                for (int j = first; j < last; j++)
                    simd.elements().axpy((float) (w[s.row + j] / sum), v.f(), at(v, b * T + j, h), out.f(), to, D);
            }
        }

        void backward(int b, int h, Gradients g, int worker) {
            Space s = space(true);
            float[] w = prepare(s, b, h, true, worker);
            for (int j = 0; j < T; j++) {
                Arrays.fill(g.dK.f(), at(g.dK, b * T + j, h), at(g.dK, b * T + j, h) + D, 0f);
                Arrays.fill(g.dV.f(), at(g.dV, b * T + j, h), at(g.dV, b * T + j, h) + D, 0f);
            }
            if (posQ != null)
                Arrays.fill(w, s.dP2c, s.dP2c + T * R, 0f);
            for (int i = 0; i < T; i++) {
                int row = b * T + i;
                int first = bound(start, row);
                int last = bound(end, row);
                int qAt = at(q, row, h);
                int gAt = at(g.dOut, row, h);
                int to = at(g.dQ, row, h);
                scores(s, w, b, i, h, first, last);
                products(g.dOut.f(), gAt, w, s.values, T, s.dRow);
                float delta = simd.elements().dot(g.dOut.f(), gAt, g.out.f(), at(g.out, row, h), D);
                simd.softmax().expInPlace(w, s.row + first, g.lse.f()[g.lse.off() + row * H + h], last - first);
                Arrays.fill(g.dQ.f(), to, to + D, 0f);
                if (posK != null)
                    Arrays.fill(w, s.dC2p, s.dC2p + R, 0f);
                for (int j = first; j < last; j++) {
                    int kAt = at(k, b * T + j, h);
                    float p = w[s.row + j];
                    float dS = scale * p * (w[s.dRow + j] - delta);
                    simd.elements().axpy(p, g.dOut.f(), gAt, g.dV.f(), at(g.dV, b * T + j, h), D);
                    simd.elements().axpy(dS, k.f(), kAt, g.dQ.f(), to, D);
                    simd.elements().axpy(dS, q.f(), qAt, g.dK.f(), at(g.dK, b * T + j, h), D);
                    if (posK != null)
                        w[s.dC2p + place(index, i - j)] += dS;
                    if (posQ != null)
                        w[s.dP2c + j * R + place(mirror, i - j)] += dS;
                }
                if (posK != null && g.dPosK != null)
                    positions(w, s.dC2p, posK, h, q.f(), qAt, g.dQ.f(), to, g.dPosK);
            }
            if (posQ != null && g.dPosQ != null)
                for (int j = 0; j < T; j++)
                    positions(w, s.dP2c + j * R, posQ, h, k.f(), at(k, b * T + j, h), g.dK.f(),
                            at(g.dK, b * T + j, h), g.dPosQ);
        }

        /// From the gradients of a row's scores against all positions to those of the row and of the positions.
        private void positions(float[] w, int grads, Operand pos, int h, float[] x, int xo, float[] dX, int to,
                Operand dPos) {
            for (int r = 0; r < R; r++) {
                float d = w[grads + r];
                if (d != 0) {
                    simd.elements().axpy(d, pos.f(), at(pos, r, h), dX, to, D);
                    simd.elements().axpy(d, x, xo, dPos.f(), at(dPos, r, h), D);
                }
            }
        }
    }
}
