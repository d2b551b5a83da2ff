package dev.gyre.kernels.ref;

/// Vectors, and square matrices as row-major arrays of n * n elements: what the rotations and reflections need.
final class Matrices {
    private Matrices() {
    }

    /// Product of two n x n matrices.
    static double[] times(double[] a, double[] b, int n) {
        double[] c = new double[n * n];
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++)
                for (int j = 0; j < n; j++)
                    c[i * n + j] += a[i * n + k] * b[k * n + j];
        return c;
    }

    static double[] transpose(double[] a, int n) {
        double[] t = new double[n * n];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                t[j * n + i] = a[i * n + j];
        return t;
    }

    static double[] identity(int n) {
        double[] e = new double[n * n];
        for (int i = 0; i < n; i++)
            e[i * n + i] = 1;
        return e;
    }

    /// `a + f b`
    static double[] plus(double[] a, double f, double[] b) {
        double[] c = new double[a.length];
        for (int i = 0; i < a.length; i++)
            c[i] = a[i] + f * b[i];
        return c;
    }

    /// `f a`
    static double[] scaled(double f, double[] a) {
        return plus(new double[a.length], f, a);
    }

    /// Sum of elementwise products; `dot(a, a)` is the squared Frobenius norm.
    static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    /// Inverse by Gauss-Jordan elimination with row exchanges.
    static double[] inverse(double[] matrix, int n) {
        double[] a = matrix.clone();
        double[] inv = identity(n);
        for (int col = 0; col < n; col++) {
            int pivot = col;
            for (int i = col + 1; i < n; i++)
                if (Math.abs(a[i * n + col]) > Math.abs(a[pivot * n + col]))
                    pivot = i;
            swapRows(a, col, pivot, n);
            swapRows(inv, col, pivot, n);
            double p = a[col * n + col];
            for (int j = 0; j < n; j++) {
                a[col * n + j] /= p;
                inv[col * n + j] /= p;
            }
            for (int i = 0; i < n; i++) {
                double f = a[i * n + col];
                if (i == col)
                    continue;
                for (int j = 0; j < n; j++) {
                    a[i * n + j] -= f * a[col * n + j];
                    inv[i * n + j] -= f * inv[col * n + j];
                }
            }
        }
        return inv;
    }

    private static void swapRows(double[] a, int i, int k, int n) {
        for (int j = 0; j < n; j++) {
            double t = a[i * n + j];
            a[i * n + j] = a[k * n + j];
            a[k * n + j] = t;
        }
    }
}
