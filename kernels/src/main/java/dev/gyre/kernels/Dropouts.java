package dev.gyre.kernels;

/// The counter-based generator behind [Op.Dropout]: the same number for the same (seed, salt, element) on every
/// backend, thread count and pass. Only shifts with a mask, additions and multiplications of non-negative or wrapping
/// ints are used, so that a device compiles it to the same result.
public final class Dropouts {
    private Dropouts() {
    }

    /// True when element `e` survives dropout of probability `p`.
    public static boolean keeps(int seed, int salt, int e, float p) {
        return bits24(seed, salt, e) >= (int) (p * 16777216f);
    }

    /// 24 well-mixed bits (a 32-bit finaliser of the murmur family over the three words).
    public static int bits24(int seed, int salt, int e) {
        int h = seed * 0x9E3779B1 ^ mix(salt * 0x85EBCA77 + e);
        return (mix(h) >> 8) & 0xffffff;
    }

    private static int mix(int h) {
        h ^= (h >> 16) & 0xffff;
        h *= 0x7feb352d;
        h ^= (h >> 15) & 0x1ffff;
        h *= 0x846ca68b;
        h ^= (h >> 16) & 0xffff;
        return h;
    }
}
