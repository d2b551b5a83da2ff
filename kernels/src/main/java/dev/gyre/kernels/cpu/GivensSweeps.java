package dev.gyre.kernels.cpu;

import dev.gyre.kernels.Givens;
import dev.gyre.kernels.Op;
import java.util.Arrays;
import java.util.List;

/// The Givens rotations of GOFT and qGOFT. A row meets all stages while it is in cache.
final class GivensSweeps {
    private GivensSweeps() {
    }

    static Runnable angles(Op.GivensAngles op, View phi, View g) {
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

    static Runnable anglesGrad(Op.GivensAnglesGrad op, View phi, View dG, View dPhi) {
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

    /// One stage in place: `(xp, xq) <- (xp g00 + xq g10, xp g01 + xq g11)`.
    private static void stage(Givens.Stage s, float[] g, int go, float[] x, int xo) {
        for (int j = 0; j < s.pairs(); j++) {
            int p = xo + 2 * s.stride() * j;
            int q = p + s.stride();
            int c = go + 4 * (s.first() + j);
            float a = x[p];
            float b = x[q];
            x[p] = a * g[c] + b * g[c + 2];
            x[q] = a * g[c + 1] + b * g[c + 3];
        }
    }

    static Runnable sweep(Cpu cpu, Simd simd, Op.GivensSweep op, View x, View g, View y) {
        int d = op.d();
        List<Givens.Stage> stages = Givens.stages(d);
        return Columns.rows(cpu, op.N(), d, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                System.arraycopy(x.f(), x.off() + t * d, y.f(), y.off() + t * d, d);
                for (int i = stages.size() - 1; i >= 0; i--)
                    stage(stages.get(i), g.f(), g.off(), y.f(), y.off() + t * d);
            }
        });
    }

    /// The rows are cut into parts, the same whatever the number of threads; each part sums its dG, the parts are added
    /// in order.
    static Runnable sweepGrad(Cpu cpu, Simd simd, Op.GivensSweepGrad op, View x, View g, View dY, View dX, View dG) {
        int d = op.d();
        int n = 4 * (d - 1);
        List<Givens.Stage> stages = Givens.stages(d);
        int some = Math.max(16, (op.N() + 15) / 16);
        int parts = (op.N() + some - 1) / some;
        Cpu.Body body = (part, worker) -> {
            float[] sums = cpu.shared(0, 0);
            Arrays.fill(sums, part * n, (part + 1) * n, 0f);
            // the gradient row, then the row before each stage (orthogonal: one row, turned back stage by stage)
            float[] w = cpu.scratch(worker, 0, (op.orthogonal() ? 2 : stages.size() + 2) * d);
            for (int t = part * some; t < Math.min(op.N(), (part + 1) * some); t++) {
                System.arraycopy(dY.f(), dY.off() + t * d, w, 0, d);
                System.arraycopy(x.f(), x.off() + t * d, w, d, d);
                for (int i = stages.size() - 1; i >= 0; i--) {
                    int now = op.orthogonal() ? d : (stages.size() - i) * d;
                    if (!op.orthogonal() && i > 0) {
                        System.arraycopy(w, now, w, now + d, d);
                        now += d;
                    }
                    if (op.orthogonal() || i > 0)
                        stage(stages.get(i), g.f(), g.off(), w, now);
                }
                for (int i = 0; i < stages.size(); i++)
                    stageGrad(stages.get(i), op.orthogonal(), g.f(), g.off(), w,
                            op.orthogonal() ? d : (stages.size() - i) * d, sums, part * n);
                if (op.accumulate())
                    simd.add(dX.f(), dX.off() + t * d, w, 0, dX.f(), dX.off() + t * d, d);
                else
                    System.arraycopy(w, 0, dX.f(), dX.off() + t * d, d);
            }
        };
        return () -> {
            float[] sums = cpu.shared(0, parts * n);
            cpu.forEach(parts, body);
            Arrays.fill(dG.f(), dG.off(), dG.off() + n, 0f);
            for (int part = 0; part < parts; part++)
                simd.add(dG.f(), dG.off(), sums, part * n, dG.f(), dG.off(), n);
        };
    }

    /// One stage backwards: the gradient row at 0 and, at `row`, the stage's inputs (its outputs when `turn`: they are
    /// then turned back in place).
    private static void stageGrad(Givens.Stage s, boolean turn, float[] g, int go, float[] w, int row, float[] sums,
            int so) {
        for (int j = 0; j < s.pairs(); j++) {
            int p = 2 * s.stride() * j;
            int q = p + s.stride();
            int c = go + 4 * (s.first() + j);
            float g00 = g[c];
            float g01 = g[c + 1];
            float g10 = g[c + 2];
            float g11 = g[c + 3];
            float a = w[row + p];
            float b = w[row + q];
            if (turn) {
                float a0 = a * g00 + b * g01;
                b = a * g10 + b * g11;
                a = a0;
                w[row + p] = a;
                w[row + q] = b;
            }
            float u = w[p];
            float v = w[q];
            int at = so + 4 * (s.first() + j);
            sums[at] += a * u;
            sums[at + 1] += a * v;
            sums[at + 2] += b * u;
            sums[at + 3] += b * v;
            w[p] = u * g00 + v * g01;
            w[q] = u * g10 + v * g11;
        }
    }

    static Runnable penalty(Op.GivensPenalty op, View g, View dG, View loss) {
        return () -> {
            double sum = 0;
            for (int i = 0; i < op.n(); i++) {
                int at = g.off() + 4 * i;
                int to = dG.off() + 4 * i;
                float[] x = g.f();
                float[] d = dG.f();
                double e = (double) x[at] * x[at + 1] + (double) x[at + 2] * x[at + 3];
                sum += e * e;
                double f = 2 * op.lambda() * e;
                d[to] += (float) (f * x[at + 1]);
                d[to + 1] += (float) (f * x[at]);
                d[to + 2] += (float) (f * x[at + 3]);
                d[to + 3] += (float) (f * x[at + 2]);
            }
            loss.f()[loss.off()] = (float) (op.lambda() * sum);
        };
    }
}
