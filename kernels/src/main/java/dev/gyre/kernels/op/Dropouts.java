package dev.gyre.kernels.op;

/// The counter-based generator behind [ElementOps.Dropout]: the same value for the same (seed, salt, element) on every
/// backend, thread count and pass. Unsigned 32-bit words are kept in longs: signed overflow is
/// undefined in the C that a device compiles, and its compiler exploits that.
public final class Dropouts {
    private Dropouts() {
    }

    /// True when element `e` survives dropout of probability `p`.
    public static boolean keeps(int seed, int salt, int e, float p) {
        return bits24(seed, salt, e) >= (int) (p * 16777216f);
    }

    /// 24 well-mixed bits (a 32-bit finaliser of the murmur family over the three words).
    public static int bits24(int seed, int salt, int e) {
        long h = times(word(seed), 0x9E3779B1) ^ mix(word(times(word(salt), 0x85EBCA77) + word(e)));
        return (int) (mix(h) >> 8);
    }

    private static long mix(long h) {
        h ^= h >> 16;
        h = times(h, 0x7feb352d);
        h ^= h >> 15;
        h = times(h, 0x846ca68b);
        return h ^ h >> 16;
    }

    /// `h` is below 2^32 and the factor an int, so the product fits a long.
    private static long times(long h, long factor) {
        return word(h * factor);
    }

    private static long word(long x) {
        return x & 0xffffffffL;
    }
}
