package dev.gyre.quant.linalg;

import java.util.Random;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// Bases as rows of doubles, contiguous along the long dimension. Everything is independent of the number of threads:
/// rows run in parallel, the sum over a row does not.
final class Rows {
    /// Work below which a parallel stream costs more than it saves, in multiply-adds.
    private static final long PARALLEL = 1 << 16;
    /// Columns that are worked on together: 100 rows of so many take 400 KB.
    private static final int PART = 512;
    /// Least square of what is new in a row, as a part of the row's: then the rows' condition is below about 1e5, and
    /// rounding leaves the second Cholesky factor within 1e-6 of one.
    private static final double PIVOT = 1e-10;

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
        double[][] out = new double[c[0].length][rows[0].length];
        columns(rows, out.length, (from, to) -> {
            double[] f = new double[rows.length];
            for (int i = 0; i < out.length; i++) {
                for (int j = 0; j < f.length; j++)
                    f[j] = c[j][i];
                addCombined(f, f.length, rows, out[i], from, to);
            }
        });
        return out;
    }

    /// `y += sum over j < count of c[j] rows[j]` in columns from..to-1, four rows at a time so that y is streamed fewer times.
    private static void addCombined(double[] c, int count, double[][] rows, double[] y, int from, int to) {
        int j = 0;
        for (; j + 3 < count; j += 4)
            add4(c[j], rows[j], c[j + 1], rows[j + 1], c[j + 2], rows[j + 2], c[j + 3], rows[j + 3], y, from, to);
        for (; j < count; j++) {
            double f = c[j];
            double[] x = rows[j];
            for (int k = from; k < to; k++)
                y[k] += f * x[k];
        }
    }

    private static void add4(double a, double[] x0, double b, double[] x1, double c, double[] x2, double d, double[] x3,
            double[] y, int from, int to) {
        for (int k = from; k < to; k++)
            y[k] += a * x0[k] + b * x1[k] + (c * x2[k] + d * x3[k]);
    }

    private interface Columns {
        void accept(int from, int to);
    }

    /// Runs `body` for parts of the columns in parallel; of `rows` a part fits the near cache.
    ///
    /// @param each rows that `body` makes from all of them
    private static void columns(double[][] rows, int each, Columns body) {
        int length = rows[0].length;
        forEach(0, (length + PART - 1) / PART, (long) PART * rows.length * each,
                p -> body.accept(p * PART, Math.min(length, (p + 1) * PART)));
    }

    /// Makes rows orthonormal in place and returns the lower triangular L with `old rows = L new rows`. A row that depends
    /// on those before it becomes a random one orthogonal to them, with a zero on L's diagonal.
    ///
    /// Twice the Cholesky factor of the rows' products with each other (Yamamoto and others, 2015), which leaves well
    /// conditioned rows orthonormal to rounding and runs several times as fast as what is done for others: modified
    /// Gram-Schmidt, twice. Cost `2 count^2 length` or twice that.
    static double[][] orthonormalize(double[][] rows) {
        double[][] first = byCholesky(rows);
        if (first == null)
            first = gramSchmidt(rows);
        double[][] second = byCholesky(rows);
        if (second == null)
            second = gramSchmidt(rows);
        int count = rows.length;
        double[][] l = new double[count][count];
        for (int i = 0; i < count; i++)
            for (int k = 0; k <= i; k++)
                for (int j = 0; j <= k; j++)
                    l[i][j] += first[i][k] * second[k][j];
        return l;
    }

    /// Makes rows orthonormal, but for rounding that grows with the square of their condition: a basis good enough to go on
    /// with. Half the cost of [#orthonormalize] where the rows are far from dependent.
    ///
    /// @return what is new in a row compared with those before, the smallest divided by the largest; 0 for nearly dependent
    ///         rows
    static double evenOut(double[][] rows) {
        double[][] l = byCholesky(rows);
        if (l == null) {
            orthonormalize(rows);
            return 0;
        }
        double least = Double.POSITIVE_INFINITY;
        double most = 0;
        for (int i = 0; i < l.length; i++) {
            least = Math.min(least, l[i][i]);
            most = Math.max(most, l[i][i]);
        }
        return least / most;
    }

    /// `rows <- L^-1 rows` with `L L^T` their products with each other; null, and rows as they were, where these are too
    /// nearly dependent for that.
    private static double @Nullable [][] byCholesky(double[][] rows) {
        int count = rows.length;
        double[][] l = products(rows);
        for (int i = 0; i < count; i++) {
            double own = l[i][i];
            for (int j = 0; j <= i; j++) {
                double sum = l[i][j];
                for (int k = 0; k < j; k++)
                    sum -= l[i][k] * l[j][k];
                if (i == j && !(sum > PIVOT * own))
                    return null;
                l[i][j] = i == j ? Math.sqrt(sum) : sum / l[j][j];
            }
        }
        columns(rows, count / 2, (from, to) -> {
            double[] f = new double[count];
            for (int i = 0; i < count; i++) {
                for (int j = 0; j < i; j++)
                    f[j] = -l[i][j];
                addCombined(f, i, rows, rows[i], from, to);
                double scale = 1 / l[i][i];
                for (int k = from; k < to; k++)
                    rows[i][k] *= scale;
            }
        });
        return l;
    }

    /// The lower triangle of `rows rows^T`.
    private static double[][] products(double[][] rows) {
        int count = rows.length;
        double[][] g = new double[count][count];
        forEach(0, (count + 3) / 4, 2L * count * rows[0].length, block -> {
            int i = 4 * block;
            int last = count - 1;
            double[][] some = {rows[i], rows[Math.min(last, i + 1)], rows[Math.min(last, i + 2)],
                rows[Math.min(last, i + 3)]};
            double[] sums = new double[8];
            for (int j = 0; j <= Math.min(last, i + 3); j += 2) {
                dots(some[0], some[1], some[2], some[3], rows[j], rows[Math.min(last, j + 1)], sums);
                for (int p = 0; p < 8; p++)
                    if (i + p / 2 < count && j + p % 2 <= i + p / 2)
                        g[i + p / 2][j + p % 2] = sums[p];
            }
        });
        return g;
    }

    /// Products of four rows with two.
    private static void dots(double[] a, double[] b, double[] c, double[] d, double[] x, double[] y, double[] sums) {
        double ax = 0;
        double ay = 0;
        double bx = 0;
        double by = 0;
        double cx = 0;
        double cy = 0;
        double dx = 0;
        double dy = 0;
        for (int k = 0; k < x.length; k++) {
            double s = x[k];
            double t = y[k];
            ax += a[k] * s;
            ay += a[k] * t;
            bx += b[k] * s;
            by += b[k] * t;
            cx += c[k] * s;
            cy += c[k] * t;
            dx += d[k] * s;
            dy += d[k] * t;
        }
        sums[0] = ax;
        sums[1] = ay;
        sums[2] = bx;
        sums[3] = by;
        sums[4] = cx;
        sums[5] = cy;
        sums[6] = dx;
        sums[7] = dy;
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
}
