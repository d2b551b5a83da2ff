package dev.gyre.kernels.check;

import dev.gyre.kernels.Precision;

/// Allowed distance of an F32 result from the double reference: `atol + rtol * max|reference|`, the maximum over the
/// output. `why` says where the bounds come from. Measured on the CPU backend, scalar and vector: where more than a
/// rounding or two is allowed, the largest error of an operation's cases is 0.05 to 0.6 of the tolerance.
public record Tol(double atol, double rtol, String why) {
    /// Half a unit in the last place of 1f: the largest relative error of one rounding.
    public static final double ROUNDING = 0x1p-24;

    public static final Tol EXACT = new Tol(0, 0, "only moves values");

    /// A fixed number of roundings (and library functions accurate to an ulp or two) in a row.
    public static Tol roundings(int n) {
        return new Tol(0, n * ROUNDING, n + " roundings");
    }

    /// Sums of `n` products in any order. Partial sums of random terms grow like sqrt(k), so n roundings of them add up
    /// to about n/3 roundings of a term, sqrt(n)/3 of the sum; the factor 2 leaves room for unlucky signs.
    public static Tol sum(long n) {
        return new Tol(0, (8 + 2 * Math.sqrt(n)) * ROUNDING, "sum of " + n + " products");
    }

    public static Tol relative(double rtol, String why) {
        return new Tol(0, rtol, why);
    }

    /// The same for sums whose terms, of about `size`, may cancel: eight roundings of a term more.
    public Tol cancelling(double size) {
        return new Tol(atol + 8 * ROUNDING * size, rtol, why + ", terms of " + size);
    }

    /// The same for results of a matrix product whose factors are rounded. Roundings of `n` random products are as
    /// independent as the products, so they add up to a fraction of the sum that does not grow with `n`. Measured: 0.2 to 0.55 of
    /// the tolerance.
    public Tol rounded(Precision precision) {
        return switch (precision) {
            case F32 -> this;
            case TF32 -> new Tol(atol, rtol + 0x1p-10, why + ", factors in TF32");
            case BF16 -> new Tol(atol, rtol + 0x1p-7, why + ", factors and results in BF16");
        };
    }

    /// The same for attention and its gradient whose factors are rounded.
    Tol attention(Precision precision) {
        return precision == Precision.F32 ? this
                : new Tol(atol * 0x1p15, rtol + 0x1p-6, why + ", factors and probabilities in BF16");
    }

    /// The same for a result that is held in this precision, and may have been made of one that was.
    Tol stored(Precision precision) {
        return precision == Precision.F32 ? this : new Tol(atol, rtol + 0x1p-7, why + ", held in BF16");
    }

    public double allowed(double maxReference) {
        return atol + rtol * maxReference;
    }
}
