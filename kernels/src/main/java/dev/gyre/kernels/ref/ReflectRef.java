package dev.gyre.kernels.ref;

import static dev.gyre.kernels.ref.Matrices.dot;
import static dev.gyre.kernels.ref.Matrices.plus;
import static dev.gyre.kernels.ref.Matrices.scaled;

import dev.gyre.kernels.op.ReflectOps;

/// HRA: unit vectors and the chain of reflections.
final class ReflectRef {
    private ReflectRef() {
    }

    static void run(ReflectOps op, Operands of) {
        switch (op) {
            case ReflectOps.HouseholderVectors(var p, var u, int d, int r, var gramSchmidt) ->
                    vectors(of.vec(p), of.vec(u), d, r, gramSchmidt);
            case ReflectOps.HouseholderVectorsGrad(var p, var u, var dU, var dP, int d, int r, var gramSchmidt) ->
                    vectorsGrad(of.vec(p), of.vec(u), of.vec(dU), of.vec(dP), d, r, gramSchmidt);
            case ReflectOps.Householder(var x, var u, var y, int N, int d, int r) ->
                    reflect(of.vec(x), of.vec(u), of.vec(y), N, d, r);
            case ReflectOps.HouseholderGrad(var x, var u, var dY, var dX, var dU, int N, int d, int r, var accumulate) ->
                    reflectGrad(of.vec(x), of.vec(u), of.vec(dY), of.vec(dX), of.vec(dU), N, d, r, accumulate);
        }
    }

    /// `u_i = w / ||w||` with w the column i of p, from which Gram-Schmidt takes `(w.u_j) u_j` for j < i in turn.
    static void vectors(Vec p, Vec u, int d, int r, boolean gramSchmidt) {
        for (int i = 0; i < r; i++) {
            double[] w = column(p, i, d, r);
            for (int j = 0; gramSchmidt && j < i; j++) {
                double[] uj = u.slice(j * d, d).toArray();
                w = plus(w, -dot(w, uj), uj);
            }
            double norm = Math.sqrt(dot(w, w));
            for (int c = 0; c < d; c++)
                u.set(i * d + c, w[c] / norm);
        }
    }

    /// Adds to dP. Back through the norm: `dW = (dU_i - u_i (u_i.dU_i)) / ||w||`; back through
    /// `w' = w - (w.u_j) u_j`: `dU_j -= (w.u_j) dW + (dW.u_j) w`, `dW -= (dW.u_j) u_j`.
    static void vectorsGrad(Vec p, Vec u, Vec dU, Vec dP, int d, int r, boolean gramSchmidt) {
        double[][] du = new double[r][];
        for (int i = 0; i < r; i++)
            du[i] = dU.slice(i * d, d).toArray();
        for (int i = r - 1; i >= 0; i--) {
            int steps = gramSchmidt ? i : 0;
            double[][] w = new double[steps + 1][];
            w[0] = column(p, i, d, r);
            for (int j = 0; j < steps; j++) {
                double[] uj = u.slice(j * d, d).toArray();
                w[j + 1] = plus(w[j], -dot(w[j], uj), uj);
            }
            double[] ui = u.slice(i * d, d).toArray();
            double[] dW = scaled(1 / Math.sqrt(dot(w[steps], w[steps])), plus(du[i], -dot(ui, du[i]), ui));
            for (int j = steps - 1; j >= 0; j--) {
                double[] uj = u.slice(j * d, d).toArray();
                du[j] = plus(plus(du[j], -dot(w[j], uj), dW), -dot(dW, uj), w[j]);
                dW = plus(dW, -dot(dW, uj), uj);
            }
            for (int c = 0; c < d; c++)
                dP.add(c * r + i, dW[c]);
        }
    }

    private static double[] column(Vec p, int i, int d, int r) {
        double[] w = new double[d];
        for (int c = 0; c < d; c++)
            w[c] = p.get(c * r + i);
        return w;
    }

    /// `x <- x - 2 (x.u_i) u_i` for i = r-1 down to 0.
    static void reflect(Vec x, Vec u, Vec y, int N, int d, int r) {
        for (int t = 0; t < N; t++) {
            double[] v = x.slice(t * d, d).toArray();
            for (int i = r - 1; i >= 0; i--) {
                double[] ui = u.slice(i * d, d).toArray();
                v = plus(v, -2 * dot(v, ui), ui);
            }
            for (int c = 0; c < d; c++)
                y.set(t * d + c, v[c]);
        }
    }

    /// One reflection with input v and outgoing g: `dV = g - 2 (g.u) u`,
    /// `dU = -2 sum over rows of ((g.u) v + (v.u) g)`.
    static void reflectGrad(Vec x, Vec u, Vec dY, Vec dX, Vec dU, int N, int d, int r, boolean accumulate) {
        dU.fill(0);
        for (int t = 0; t < N; t++) {
            double[][] v = new double[r + 1][];
            v[r] = x.slice(t * d, d).toArray();
            for (int i = r - 1; i >= 0; i--) {
                double[] ui = u.slice(i * d, d).toArray();
                v[i] = plus(v[i + 1], -2 * dot(v[i + 1], ui), ui);
            }
            double[] g = dY.slice(t * d, d).toArray();
            for (int i = 0; i < r; i++) {
                double[] ui = u.slice(i * d, d).toArray();
                double gu = dot(g, ui);
                double vu = dot(v[i + 1], ui);
                for (int c = 0; c < d; c++)
                    dU.add(i * d + c, -2 * (gu * v[i + 1][c] + vu * g[c]));
                g = plus(g, -2 * gu, ui);
            }
            for (int c = 0; c < d; c++)
                dX.set(t * d + c, accumulate ? dX.get(t * d + c) + g[c] : g[c]);
        }
    }
}
