package dev.gyre.kernels.ref;

/// Constants of an operation are floats, but people and the reference libraries mean the decimal: `1e-5f` stands for
/// 1e-5, not for 9.99999974e-6. Widening this way keeps values right to 1e-9; in F32 nobody can tell.
final class Decimal {
    private Decimal() {
    }

    static double of(float constant) {
        return Double.parseDouble(Float.toString(constant));
    }
}
