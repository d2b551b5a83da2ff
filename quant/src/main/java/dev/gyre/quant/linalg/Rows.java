package dev.gyre.quant.linalg;

import dev.gyre.kernels.HostData;
import dev.gyre.quant.Nf4;
import java.util.Random;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/// Bases as rows of doubles, contiguous along the long dimension. Everything is independent of the number of threads:
/// rows run in parallel, the sum over a row does not.
final class Rows {
    /// Work below which a parallel stream costs more than it saves, in multiply-adds.
    private static final long PARALLEL = 1 << 16;

    private Rows() {
    }

    static double dot(double[] a, double[] b) {
        double s0 = 0;
        double s1 = 0;
        double s2 = 0;
        double s3 = 0;
        int i = 0;
        for (; i + 3 < a.length; i += 4) {
            s0 += a[i] * b[i];
            s1 += a[i + 1] * b[i + 1];
            s2 += a[i + 2] * b[i + 2];
            s3 += a[i + 3] * b[i + 3];
        }
        for (; i < a.length; i++)
            s0 += a[i] * b[i];
        return s0 + s1 + (s2 + s3);
    }

    static double norm(double[] a) {
        return Math.sqrt(dot(a, a));
    }

    /// `y += c x`
    static void axpy(double c, double[] x, double[] y) {
        for (int i = 0; i < y.length; i++)
            y[i] += c * x[i];
    }

    static void scale(double c, double[] x) {
        for (int i = 0; i < x.length; i++)
            x[i] *= c;
    }

    static double[][] copy(double[][] rows) {
        double[][] out = new double[rows.length][];
        for (int i = 0; i < rows.length; i++)
            out[i] = rows[i].clone();
        return out;
    }

    /// Gaussian rows; `java.util.Random` because its sequence is part of its specification.
    static double[][] gaussian(int count, int length, long seed) {
        Random random = new Random(seed);
        double[][] rows = new double[count][length];
        for (double[] row : rows)
            for (int i = 0; i < length; i++)
                row[i] = random.nextGaussian();
        return rows;
    }

    /// Row `i` of the result is `sum over j of c[j][i] rows[j]`, that is `C^T rows`.
    static double[][] combine(double[][] c, double[][] rows) {
        int length = rows[0].length;
        double[][] out = new double[c[0].length][length];
        forEach(0, out.length, (long) rows.length * length, i -> {
            for (int j = 0; j < rows.length; j++)
                axpy(c[j][i], rows[j], out[i]);
        });
        return out;
    }

    /// Makes rows orthonormal in place and returns the lower triangular L with `old rows = L new rows`: modified
    /// Gram-Schmidt, twice, which leaves them orthonormal to rounding whatever their condition. A row that depends on
    /// those before it becomes a random one orthogonal to them, with a zero on L's diagonal. Cost `4 count^2 length`.
    static double[][] orthonormalize(double[][] rows) {
        double[][] first = gramSchmidt(rows);
        double[][] second = gramSchmidt(rows);
        int count = rows.length;
        double[][] l = new double[count][count];
        for (int i = 0; i < count; i++)
            for (int k = 0; k <= i; k++)
                for (int j = 0; j <= k; j++)
                    l[i][j] += first[i][k] * second[k][j];
        return l;
    }

    private static double[][] gramSchmidt(double[][] rows) {
        int count = rows.length;
        int length = rows[0].length;
        double[][] l = new double[count][count];
        double[] before = new double[count];
        for (int i = 0; i < count; i++)
            before[i] = norm(rows[i]);
        for (int i = 0; i < count; i++) {
            double[] q = rows[i];
            double norm = norm(q);
            if (norm <= 1e-13 * before[i]) {
                replace(rows, i);
            } else {
                l[i][i] = norm;
                scale(1 / norm, q);
            }
            int at = i;
            forEach(i + 1, count, 2L * length, j -> {
                double c = dot(rows[j], q);
                l[j][at] = c;
                axpy(-c, q, rows[j]);
            });
        }
        return l;
    }

    /// Row `i` becomes a unit vector orthogonal to the rows before it.
    private static void replace(double[][] rows, int i) {
        rows[i] = copyInto(gaussian(1, rows[i].length, i)[0], rows[i]);
        for (int pass = 0; pass < 2; pass++) {
            for (int j = 0; j < i; j++)
                axpy(-dot(rows[i], rows[j]), rows[j], rows[i]);
            scale(1 / norm(rows[i]), rows[i]);
        }
    }

    private static double[] copyInto(double[] from, double[] to) {
        System.arraycopy(from, 0, to, 0, to.length);
        return to;
    }

    /// Runs `body` for `from .. to - 1`, in parallel when that is worth it; `each` is the work of one.
    static void forEach(int from, int to, long each, IntConsumer body) {
        IntStream range = IntStream.range(from, to);
        ((to - from) * each < PARALLEL ? range : range.parallel()).forEach(body);
    }

    /// Elements `from .. from + n - 1` of a weight of any storage, as F32.
    static float[] read(HostData w, long from, int n) {
        float[] out = new float[n];
        switch (w) {
            case HostData.F32 f -> System.arraycopy(f.values, (int) from, out, 0, n);
            case HostData.BF16 b -> {
                for (int i = 0; i < n; i++)
                    out[i] = Float.intBitsToFloat(b.bits[(int) from + i] << 16);
            }
            case HostData.NF4 q -> Nf4.dequantize(q, from, n, out, 0);
        }
        return out;
    }
}
