package dev.gyre.bench;

import java.util.Arrays;

/// Small sums over measurements.
final class Stats {
    private Stats() {
    }

    static double median(double... values) {
        if (values.length == 0)
            return Double.NaN;
        double[] v = values.clone();
        Arrays.sort(v);
        int n = v.length;
        return (v[n / 2] + v[(n - 1) / 2]) / 2;
    }

    /// To `digits` significant digits, for JSON.
    static double rounded(double x, int digits) {
        return Double.isFinite(x) && x != 0 ? new java.math.BigDecimal(x).round(new java.math.MathContext(digits))
                .doubleValue() : x;
    }
}
