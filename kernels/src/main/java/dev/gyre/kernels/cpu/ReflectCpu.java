package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.ReflectOps;
import java.util.Arrays;

/// Householder reflections (HRA) and their gradients.
final class ReflectCpu {
    private ReflectCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, ReflectOps op, Operands of) {
        return switch (op) {
            case ReflectOps.HouseholderVectors o -> vectors(o, of.at(o.p()), of.at(o.u()));
            case ReflectOps.HouseholderVectorsGrad o ->
                    vectorsGrad(o, of.at(o.p()), of.at(o.u()), of.at(o.dU()), of.at(o.dP()));
            case ReflectOps.Householder o -> reflect(pool, simd, o, of.at(o.x()), of.at(o.u()), of.at(o.y()));
            case ReflectOps.HouseholderGrad o ->
                    reflectGrad(pool, simd, o, of.at(o.x()), of.at(o.u()), of.at(o.dY()), of.at(o.dX()), of.at(o.dU()));
        };
    }

    /// Column i of p, divided by its norm, or made orthonormal to the ones before it.
    static Runnable vectors(ReflectOps.HouseholderVectors op, Operand p, Operand u) {
        int d = op.d();
        int r = op.r();
        return () -> {
            double[][] e = basis(p, d, r, op.gramSchmidt(), new double[r]);
            for (int i = 0; i < r; i++)
                for (int k = 0; k < d; k++)
                    u.f()[u.off() + i * d + k] = (float) e[i][k];
        };
    }

    /// The vectors in double, and the norms they were divided by.
    private static double[][] basis(Operand p, int d, int r, boolean gramSchmidt, double[] norms) {
        double[][] e = new double[r][d];
        for (int i = 0; i < r; i++) {
            for (int k = 0; k < d; k++)
                e[i][k] = p.f()[p.off() + k * r + i];
            if (gramSchmidt)
                for (int j = 0; j < i; j++)
                    subtract(e[i], dot(e[i], e[j]), e[j]);
            norms[i] = Math.sqrt(dot(e[i], e[i]));
            for (int k = 0; k < d; k++)
                e[i][k] /= norms[i];
        }
        return e;
    }

    private static double dot(double[] x, double[] y) {
        double s = 0;
        for (int k = 0; k < x.length; k++)
            s += x[k] * y[k];
        return s;
    }

    private static void subtract(double[] x, double f, double[] y) {
        for (int k = 0; k < x.length; k++)
            x[k] -= f * y[k];
    }

    /// Through the norm: `g <- (g - e (e.g)) / norm`. Under Gram-Schmidt, from the last vector to the first, then
    /// through each projection `v_(j+1) = v_j - (v_j.e_j) e_j`, last to first: `dE_j -= (g.e_j) v_j + (v_j.e_j) g`,
    /// `g <- g - (g.e_j) e_j`.
    static Runnable vectorsGrad(ReflectOps.HouseholderVectorsGrad op, Operand p, Operand u, Operand dU, Operand dP) {
        int d = op.d();
        int r = op.r();
        return () -> {
            double[] norms = new double[r];
            double[][] e = basis(p, d, r, op.gramSchmidt(), norms);
            double[][] dE = new double[r][d];
            for (int i = 0; i < r; i++)
                for (int k = 0; k < d; k++)
                    dE[i][k] = dU.f()[dU.off() + i * d + k];
            for (int i = r - 1; i >= 0; i--) {
                double[] g = dE[i];
                subtract(g, dot(g, e[i]), e[i]);
                for (int k = 0; k < d; k++)
                    g[k] /= norms[i];
                if (op.gramSchmidt())
                    throughProjections(p, d, r, i, e, dE, g);
                for (int k = 0; k < d; k++)
                    dP.f()[dP.off() + k * r + i] += (float) g[k];
            }
        };
    }

    private static void throughProjections(Operand p, int d, int r, int i, double[][] e, double[][] dE, double[] g) {
        double[][] v = new double[i + 1][d];
        for (int k = 0; k < d; k++)
            v[0][k] = p.f()[p.off() + k * r + i];
        for (int j = 0; j < i; j++) {
            System.arraycopy(v[j], 0, v[j + 1], 0, d);
            subtract(v[j + 1], dot(v[j], e[j]), e[j]);
        }
        for (int j = i - 1; j >= 0; j--) {
            double ge = dot(g, e[j]);
            subtract(dE[j], ge, v[j]);
            subtract(dE[j], dot(v[j], e[j]), g);
            subtract(g, ge, e[j]);
        }
    }

    static Runnable reflect(ThreadPool pool, Simd simd, ReflectOps.Householder op, Operand x, Operand u, Operand y) {
        int d = op.d();
        return ColumnCpu.rows(pool, op.N(), d, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int at = y.off() + t * d;
                System.arraycopy(x.f(), x.off() + t * d, y.f(), at, d);
                for (int i = op.r() - 1; i >= 0; i--)
                    reflect(simd, u.f(), u.off() + i * d, y.f(), at, d);
            }
        });
    }

    private static void reflect(Simd simd, float[] u, int uo, float[] x, int xo, int d) {
        simd.elements().axpy(-2 * simd.elements().dot(x, xo, u, uo, d), u, uo, x, xo, d);
    }

    /// Per row: inputs v of all reflections again, then from i = 0 up `dU_i -= 2 (v (g.u) + g (v.u))`,
    /// `g <- g - 2 (g.u) u`. Parts of the rows are summed apart and added in order.
    static Runnable reflectGrad(ThreadPool pool, Simd simd, ReflectOps.HouseholderGrad op, Operand x, Operand u,
            Operand dY, Operand dX, Operand dU) {
        int d = op.d();
        int r = op.r();
        int some = Math.max(16, (op.N() + 15) / 16);
        int parts = (op.N() + some - 1) / some;
        ThreadPool.Body body = (part, worker) -> {
            float[] sums = pool.shared(0, 0);
            Arrays.fill(sums, part * r * d, (part + 1) * r * d, 0f);
            // the gradient row, then the inputs of reflections r-1 .. 0
            float[] w = pool.scratch(worker, 0, (r + 1) * d);
            for (int t = part * some; t < Math.min(op.N(), (part + 1) * some); t++) {
                System.arraycopy(dY.f(), dY.off() + t * d, w, 0, d);
                for (int i = r - 1; i >= 0; i--) {
                    int at = (r - i) * d;
                    if (i == r - 1) {
                        System.arraycopy(x.f(), x.off() + t * d, w, at, d);
                    } else {
                        System.arraycopy(w, at - d, w, at, d);
                        reflect(simd, u.f(), u.off() + (i + 1) * d, w, at, d);
                    }
                }
                for (int i = 0; i < r; i++) {
                    int v = (r - i) * d;
                    int uo = u.off() + i * d;
                    int to = part * r * d + i * d;
                    float gu = simd.elements().dot(w, 0, u.f(), uo, d);
                    float vu = simd.elements().dot(w, v, u.f(), uo, d);
                    simd.elements().axpy(-2 * gu, w, v, sums, to, d);
                    simd.elements().axpy(-2 * vu, w, 0, sums, to, d);
                    simd.elements().axpy(-2 * gu, u.f(), uo, w, 0, d);
                }
                int to = dX.off() + t * d;
                if (op.accumulate())
                    simd.elements().add(dX.f(), to, w, 0, dX.f(), to, d);
                else
                    System.arraycopy(w, 0, dX.f(), to, d);
            }
        };
        return () -> {
            float[] sums = pool.shared(0, parts * r * d);
            pool.forEach(parts, body);
            Arrays.fill(dU.f(), dU.off(), dU.off() + r * d, 0f);
            for (int part = 0; part < parts; part++)
                simd.elements().add(dU.f(), dU.off(), sums, part * r * d, dU.f(), dU.off(), r * d);
        };
    }
}
