package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.HeadOps;
import java.util.Arrays;

/// Pooling, similarity and losses of heads. Their operands are small beside those of the layers.
final class HeadCpu {
    /// Columns of one item where rows are added in order.
    private static final int COLUMNS = 64;

    private HeadCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, HeadOps op, Operands of) {
        return switch (op) {
            case HeadOps.MeanRows o -> meanRows(pool, simd, o, of.at(o.x()), of.at(o.from()), of.at(o.to()),
                    of.at(o.out()));
            case HeadOps.MeanRowsGrad o -> meanRowsGrad(pool, simd, o, of.at(o.dOut()), of.at(o.from()), of.at(o.to()),
                    of.at(o.dX()));
            case HeadOps.RowDot o -> rowDot(pool, simd, o, of.at(o.x()), of.at(o.y()), of.at(o.out()));
            case HeadOps.ScaleRows o -> scaleRows(pool, simd, o, of.at(o.x()), of.at(o.s()), of.at(o.y()));
            case HeadOps.BinaryCrossEntropy o -> binaryCrossEntropy(o, of.at(o.logits()), of.at(o.targets()),
                    of.at(o.rowLoss()), of.at(o.scale()));
            case HeadOps.SquaredError o -> squaredError(o, of.at(o.y()), of.at(o.targets()), of.at(o.rowLoss()),
                    of.at(o.scale()));
        };
    }

    /// A range of rows, checked.
    private static int bound(HeadOps op, Operand from, Operand to, int r, int N, boolean last) {
        int a = from.i()[from.off() + r];
        int b = to.i()[to.off() + r];
        if (a < 0 || a >= b || b > N)
            throw new IllegalArgumentException("rows " + a + " to " + b + " of " + N + " (" + op + ")");
        return last ? b : a;
    }

    static Runnable meanRows(ThreadPool pool, Simd simd, HeadOps.MeanRows op, Operand x, Operand from, Operand to,
            Operand out) {
        int C = op.C();
        return () -> pool.forEach(op.R(), (r, worker) -> {
            int first = bound(op, from, to, r, op.N(), false);
            int last = bound(op, from, to, r, op.N(), true);
            int at = out.off() + r * C;
            Arrays.fill(out.f(), at, at + C, 0f);
            for (int i = first; i < last; i++)
                simd.elements().add(out.f(), at, x.f(), x.off() + i * C, out.f(), at, C);
            simd.elements().scale(1f / (last - first), out.f(), at, out.f(), at, C);
        });
    }

    static Runnable meanRowsGrad(ThreadPool pool, Simd simd, HeadOps.MeanRowsGrad op, Operand dOut, Operand from,
            Operand to, Operand dX) {
        int C = op.C();
        return () -> pool.forEach((C + COLUMNS - 1) / COLUMNS, (item, worker) -> {
            int c = item * COLUMNS;
            int n = Math.min(COLUMNS, C - c);
            for (int i = 0; i < op.N(); i++)
                Arrays.fill(dX.f(), dX.off() + i * C + c, dX.off() + i * C + c + n, 0f);
            for (int r = 0; r < op.R(); r++) {
                int first = bound(op, from, to, r, op.N(), false);
                int last = bound(op, from, to, r, op.N(), true);
                for (int i = first; i < last; i++)
                    simd.elements().axpy(1f / (last - first), dOut.f(), dOut.off() + r * C + c, dX.f(),
                            dX.off() + i * C + c, n);
            }
        });
    }

    static Runnable rowDot(ThreadPool pool, Simd simd, HeadOps.RowDot op, Operand x, Operand y, Operand out) {
        int C = op.C();
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            for (int i = from; i < to; i++)
                out.f()[out.off() + i] = simd.elements().dot(x.f(), x.off() + i * C, y.f(), y.off() + i * C, C);
        });
    }

    static Runnable scaleRows(ThreadPool pool, Simd simd, HeadOps.ScaleRows op, Operand x, Operand s, Operand y) {
        int C = op.C();
        return ColumnCpu.rows(pool, op.N(), C, (from, to, worker) -> {
            for (int i = from; i < to; i++) {
                float a = s.f()[s.off() + i];
                if (op.accumulate())
                    simd.elements().axpy(a, x.f(), x.off() + i * C, y.f(), y.off() + i * C, C);
                else
                    simd.elements().scale(a, x.f(), x.off() + i * C, y.f(), y.off() + i * C, C);
            }
        });
    }

    static Runnable binaryCrossEntropy(HeadOps.BinaryCrossEntropy op, Operand logits, Operand targets,
            Operand rowLoss, Operand scale) {
        int V = op.V();
        return () -> {
            double s = scale.f()[scale.off()];
            for (int i = 0; i < op.N(); i++) {
                double loss = 0;
                for (int v = 0; v < V; v++) {
                    int at = logits.off() + i * V + v;
                    double z = logits.f()[at];
                    double t = targets.f()[targets.off() + i * V + v];
                    double e = Math.exp(-Math.abs(z));
                    loss += Math.max(z, 0) - z * t + Math.log1p(e);
                    if (op.gradient())
                        logits.f()[at] = (float) (((z >= 0 ? 1 : e) / (1 + e) - t) / V * s);
                }
                rowLoss.f()[rowLoss.off() + i] = (float) (loss / V);
            }
        };
    }

    static Runnable squaredError(HeadOps.SquaredError op, Operand y, Operand targets, Operand rowLoss, Operand scale) {
        int V = op.V();
        return () -> {
            double s = scale.f()[scale.off()];
            for (int i = 0; i < op.N(); i++) {
                double loss = 0;
                for (int v = 0; v < V; v++) {
                    int at = y.off() + i * V + v;
                    double d = (double) y.f()[at] - targets.f()[targets.off() + i * V + v];
                    loss += d * d;
                    if (op.gradient())
                        y.f()[at] = (float) (2 * d / V * s);
                }
                rowLoss.f()[rowLoss.off() + i] = (float) (loss / V);
            }
        };
    }
}
