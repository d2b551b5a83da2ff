package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Givens;
import dev.gyre.kernels.op.GivensOps;
import java.util.Arrays;

/// The Givens rotations of GOFT and qGOFT. All stages are applied to a row while it is in the cache.
final class GivensCpu {
    private GivensCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, GivensOps op, Operands of) {
        return switch (op) {
            case GivensOps.GivensAngles o -> angles(o, of.at(o.phi()), of.at(o.g()));
            case GivensOps.GivensAnglesGrad o -> anglesGrad(o, of.at(o.phi()), of.at(o.dG()), of.at(o.dPhi()));
            case GivensOps.GivensSweep o -> sweep(pool, simd, o, of.at(o.x()), of.at(o.g()), of.at(o.y()));
            case GivensOps.GivensSweepGrad o ->
                    sweepGrad(pool, simd, o, of.at(o.x()), of.at(o.g()), of.at(o.dY()), of.at(o.dX()), of.at(o.dG()));
            case GivensOps.GivensPenalty o -> penalty(o, of.at(o.g()), of.at(o.dG()), of.at(o.loss()));
        };
    }

    static Runnable angles(GivensOps.GivensAngles op, Operand phi, Operand g) {
        return () -> {
            for (int i = 0; i < op.n(); i++) {
                double theta = Math.PI * Math.tanh(phi.f()[phi.off() + i]);
                float c = (float) Math.cos(theta);
                float s = (float) Math.sin(theta);
                int at = g.off() + 4 * i;
                g.f()[at] = c;
                g.f()[at + 1] = -s;
                g.f()[at + 2] = s;
                g.f()[at + 3] = c;
            }
        };
    }

    static Runnable anglesGrad(GivensOps.GivensAnglesGrad op, Operand phi, Operand dG, Operand dPhi) {
        return () -> {
            for (int i = 0; i < op.n(); i++) {
                double t = Math.tanh(phi.f()[phi.off() + i]);
                int at = dG.off() + 4 * i;
                float[] d = dG.f();
                double dTheta = -Math.sin(Math.PI * t) * (d[at] + d[at + 3])
                        + Math.cos(Math.PI * t) * (d[at + 2] - d[at + 1]);
                dPhi.f()[dPhi.off() + i] += (float) (dTheta * Math.PI * (1 - t * t));
            }
        };
    }

    /// The sweep by groups of W neighbours, W a power of two: the strides below W stay within groups; those from W to
    /// `W^2` join the first elements of the groups, which are gathered into a shorter row (the next level) and treated
    /// the same way, and so on. So all levels run in full vectors, and those after the first are about 1/W of the work.
    private record Levels(int d, int W, int steps, int[] groups, int[] coefficients, int[] rows) {
        static Levels of(int d, int W) {
            int count = 1;
            for (int n = d; n > W; n = (n + W - 1) / W)
                count++;
            int steps = Integer.numberOfTrailingZeros(W);
            int[] groups = new int[count];
            int[] coefficients = new int[count + 1];
            int[] rows = new int[count + 1];
            int n = d;
            for (int l = 0; l < count; l++) {
                groups[l] = (n + W - 1) / W;
                coefficients[l + 1] = coefficients[l] + 2 * steps * W * groups[l];
                // a cache line more: rows a power of two apart would map to the same cache sets
                rows[l + 1] = rows[l] + groups[l] * W + 16;
                n = groups[l];
            }
            return new Levels(d, W, steps, groups, coefficients, rows);
        }

        int count() {
            return groups.length;
        }

        /// Number of coefficients of all levels.
        int size() {
            return coefficients[count()];
        }

        /// Elements of one row on all levels.
        int row() {
            return rows[count()];
        }

        /// Index of the first coefficient a of element `i` of the row, for the stage of `stride`; b is W later.
        int at(int i, int stride) {
            int l = 0;
            int s = stride;
            int j = i;
            for (; s >= W; s /= W, j /= W)
                l++;
            return coefficients[l] + 2 * W * (steps * (j / W) + Integer.numberOfTrailingZeros(s)) + j % W;
        }

        /// Coefficients from g; 1 and 0 for an element without a partner.
        void fill(float[] g, int go, float[] to) {
            for (int i = 0; i < size(); i += 2 * W) {
                Arrays.fill(to, i, i + W, 1f);
                Arrays.fill(to, i + W, i + 2 * W, 0f);
            }
            for (Givens.Stage s : Givens.stages(d))
                for (int j = 0; j < s.pairs(); j++) {
                    int p = at(2 * s.stride() * j, s.stride());
                    int q = at(2 * s.stride() * j + s.stride(), s.stride());
                    int c = go + 4 * (s.first() + j);
                    to[p] = g[c];
                    to[q + W] = g[c + 1];
                    to[p + W] = g[c + 2];
                    to[q] = g[c + 3];
                }
        }

        /// The reverse of [#fill], for gradients.
        void collect(float[] sums, float[] dG, int go) {
            for (Givens.Stage s : Givens.stages(d))
                for (int j = 0; j < s.pairs(); j++) {
                    int p = at(2 * s.stride() * j, s.stride());
                    int q = at(2 * s.stride() * j + s.stride(), s.stride());
                    int c = go + 4 * (s.first() + j);
                    dG[c] = sums[p];
                    dG[c + 1] = sums[q + W];
                    dG[c + 2] = sums[p + W];
                    dG[c + 3] = sums[q];
                }
        }

        /// Gathers the first elements of the groups of level `l - 1`, rows `ld` apart in `from`, into level l of w,
        /// whose rows are [#row] apart.
        void down(int count, float[] from, int at, int ld, float[] w, int l) {
            for (int r = 0; r < count; r++) {
                int to = r * row() + rows[l];
                for (int j = 0; j < groups[l - 1]; j++)
                    w[to + j] = from[at + r * ld + j * W];
                Arrays.fill(w, to + groups[l - 1], to + groups[l] * W, 0f);
            }
        }

        void down(int count, float[] w, int l) {
            down(count, w, rows[l - 1], row(), w, l);
        }

        /// Rotates level l > 0 from `in` to `out`, which already has the result of level l + 1.
        void turn(Simd simd, int count, int l, float[] c, float[] in, float[] out) {
            boolean last = l == count() - 1;
            simd.givens().rotate(count, groups[l], c, coefficients[l], in, rows[l], row(), last ? in : out,
                    rows[last ? l : l + 1], row(), out, rows[l], row());
        }

        void up(int count, float[] w, int wo, int l) {
            for (int r = 0; r < count; r++) {
                int from = wo + r * row() + rows[l];
                int to = wo + r * row() + rows[l - 1];
                for (int j = 0; j < groups[l - 1]; j++)
                    w[to + j * W] = w[from + j];
            }
        }

        /// Rows of x to level 0 of w.
        void in(int count, float[] x, int xo, float[] w, int wo) {
            for (int r = 0; r < count; r++) {
                System.arraycopy(x, xo + r * d, w, wo + r * row(), d);
                Arrays.fill(w, wo + r * row() + d, wo + r * row() + groups[0] * W, 0f);
            }
        }
    }

    /// Rows to which a group's coefficients are applied together.
    private static final int ROWS = 8;

    /// Level 0 is rotated from x to y, after the first elements of its groups on the higher levels.
    static Runnable sweep(ThreadPool pool, Simd simd, GivensOps.GivensSweep op, Operand x, Operand g, Operand y) {
        int d = op.d();
        Levels s = Levels.of(d, simd.givens().width());
        int full = d / s.W;
        int rest = d % s.W;
        ThreadPool.Body body = (item, worker) -> {
            float[] c = pool.shared(0, 0);
            float[] w = pool.scratch(worker, 0, ROWS * s.row());
            int n = Math.min(ROWS, op.N() - item * ROWS);
            int in = x.off() + item * ROWS * d;
            int out = y.off() + item * ROWS * d;
            for (int l = 1; l < s.count(); l++)
                s.down(n, l > 1 ? w : x.f(), l > 1 ? s.rows[l - 1] : in, l > 1 ? s.row() : d, w, l);
            for (int l = s.count() - 1; l > 0; l--)
                s.turn(simd, n, l, c, w, w);
            boolean levels = s.count() > 1;
            simd.givens().rotate(n, full, c, 0, x.f(), in, d, levels ? w : x.f(), levels ? s.rows[1] : in,
                    levels ? s.row() : d, y.f(), out, d);
            if (rest > 0) {
                int at = full * s.W;
                for (int r = 0; r < n; r++) {
                    System.arraycopy(x.f(), in + r * d + at, w, r * s.row() + at, rest);
                    Arrays.fill(w, r * s.row() + at + rest, r * s.row() + at + s.W, 0f);
                }
                simd.givens().rotate(n, 1, c, 2 * s.steps * at, w, at, s.row(), w, levels ? s.rows[1] + full : at,
                        s.row(), w, at, s.row());
                for (int r = 0; r < n; r++)
                    System.arraycopy(w, r * s.row() + at, y.f(), out + r * d + at, rest);
            }
        };
        return () -> {
            s.fill(g.f(), g.off(), pool.shared(0, s.size()));
            pool.forEach((op.N() + ROWS - 1) / ROWS, body);
        };
    }

    /// The rows are cut into parts, independent of the number of threads; each part sums its dG, the parts are added in
    /// order. The inputs of each level are recomputed from x, those of its stages by [SimdGivens#rotateGrad]; nothing
    /// is inverted, so g need not be orthogonal.
    static Runnable sweepGrad(ThreadPool pool, Simd simd, GivensOps.GivensSweepGrad op, Operand x, Operand g,
            Operand dY, Operand dX, Operand dG) {
        int d = op.d();
        Levels s = Levels.of(d, simd.givens().width());
        int some = Math.max(16, (op.N() + 15) / 16);
        int parts = (op.N() + some - 1) / some;
        ThreadPool.Body body = (part, worker) -> {
            float[] c = pool.shared(0, 0);
            float[] sums = pool.shared(1, 0);
            int so = part * s.size();
            Arrays.fill(sums, so, so + s.size(), 0f);
            float[] in = pool.scratch(worker, 0, ROWS * s.row());
            float[] out = pool.scratch(worker, 1, ROWS * s.row());
            float[] w = pool.scratch(worker, 2, ROWS * s.row());
            int end = Math.min(op.N(), (part + 1) * some);
            for (int t = part * some; t < end; t += ROWS) {
                int n = Math.min(ROWS, end - t);
                s.in(n, x.f(), x.off() + t * d, in, 0);
                for (int l = 1; l < s.count(); l++)
                    s.down(n, in, l);
                for (int l = s.count() - 1; l > 0; l--) {
                    s.turn(simd, n, l, c, in, out);
                    for (int r = 0; r < n; r++)
                        for (int j = 0; j < s.groups[l - 1]; j++)
                            in[r * s.row() + s.rows[l - 1] + j * s.W] = out[r * s.row() + s.rows[l] + j];
                }
                s.in(n, dY.f(), dY.off() + t * d, w, 0);
                for (int l = 0; l < s.count(); l++) {
                    if (l > 0)
                        s.down(n, w, l);
                    simd.givens().rotateGrad(n, s.groups[l], c, s.coefficients[l], in, s.rows[l], w, s.rows[l], s.row(),
                            sums, so + s.coefficients[l]);
                }
                for (int l = s.count() - 1; l > 0; l--)
                    s.up(n, w, 0, l);
                for (int r = 0; r < n; r++) {
                    int at = dX.off() + (t + r) * d;
                    if (op.accumulate())
                        simd.elements().add(dX.f(), at, w, r * s.row(), dX.f(), at, d);
                    else
                        System.arraycopy(w, r * s.row(), dX.f(), at, d);
                }
            }
        };
        return () -> {
            s.fill(g.f(), g.off(), pool.shared(0, s.size()));
            float[] sums = pool.shared(1, parts * s.size());
            pool.forEach(parts, body);
            for (int part = 1; part < parts; part++)
                simd.elements().add(sums, 0, sums, part * s.size(), sums, 0, s.size());
            s.collect(sums, dG.f(), dG.off());
        };
    }

    static Runnable penalty(GivensOps.GivensPenalty op, Operand g, Operand dG, Operand loss) {
        float lambda = (float) op.lambda();
        return () -> {
            double sum = 0;
            for (int i = 0; i < op.n(); i++) {
                int at = g.off() + 4 * i;
                int to = dG.off() + 4 * i;
                float[] x = g.f();
                float[] d = dG.f();
                double e = (double) x[at] * x[at + 1] + (double) x[at + 2] * x[at + 3];
                sum += e * e;
                double f = 2 * lambda * e;
                d[to] += (float) (f * x[at + 1]);
                d[to + 1] += (float) (f * x[at]);
                d[to + 2] += (float) (f * x[at + 3]);
                d[to + 3] += (float) (f * x[at + 2]);
            }
            loss.f()[loss.off()] = (float) (lambda * sum);
        };
    }
}
