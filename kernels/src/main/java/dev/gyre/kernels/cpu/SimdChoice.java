package dev.gyre.kernels.cpu;

import java.util.Locale;

/// Which arithmetic the CPU backend uses. The system property `gyre.simd` (`scalar`, `128`, `256`, `512`, `auto`)
/// decides what AUTO means, and the width of VECTOR.
public enum SimdChoice {
    /// The Vector API if the JVM has it, else plain loops.
    AUTO,
    /// Plain loops.
    SCALAR,
    /// The Vector API; an error if it is missing.
    VECTOR;

    /// The system property: `auto`, `scalar`, `128`, `256` or `512`.
    static String property() {
        String width = System.getProperty("gyre.simd", "auto").toLowerCase(Locale.ROOT);
        if (!width.matches("auto|scalar|128|256|512"))
            throw new IllegalArgumentException(
                    "gyre.simd=" + width + " is not one of auto, scalar, 128, 256, 512 (system property)");
        return width;
    }
}
