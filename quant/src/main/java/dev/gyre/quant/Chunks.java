package dev.gyre.quant;

import java.util.stream.IntStream;
import java.util.stream.LongStream;

/// Splits `0..size-1` into ranges of fixed length that run in parallel. The split does not depend on the number of
/// threads, and sums are added in the order of the ranges, so results do not either.
final class Chunks {
    /// Elements of a range: a multiple of every NF4 block size, hence also of a code byte.
    static final int LENGTH = 1 << 16;

    private Chunks() {
    }

    @FunctionalInterface
    interface Range {
        void accept(long from, long to);
    }

    @FunctionalInterface
    interface Sum {
        double over(long from, long to);
    }

    static void forEach(long size, Range body) {
        LongStream.range(0, count(size)).parallel().forEach(i -> body.accept(i * LENGTH, end(i, size)));
    }

    static double sum(long size, Sum part) {
        double[] parts = new double[Math.toIntExact(count(size))];
        IntStream.range(0, parts.length).parallel()
                .forEach(i -> parts[i] = part.over((long) i * LENGTH, end(i, size)));
        double sum = 0;
        for (double p : parts)
            sum += p;
        return sum;
    }

    static double max(long size, Sum part) {
        return LongStream.range(0, count(size)).parallel()
                .mapToDouble(i -> part.over(i * LENGTH, end(i, size))).reduce(0, Math::max);
    }

    private static long count(long size) {
        return (size + LENGTH - 1) / LENGTH;
    }

    private static long end(long i, long size) {
        return Math.min(size, (i + 1) * LENGTH);
    }
}
