package dev.gyre.quant;

import java.util.stream.LongStream;

/// Splits `0..size-1` into ranges of fixed length that run in parallel. The split does not depend on the number of
/// threads, so results do not either.
final class Chunks {
    /// Elements of a range: a multiple of every NF4 block size, hence also of a code byte.
    private static final int LENGTH = 1 << 16;

    private Chunks() {
    }

    @FunctionalInterface
    interface Range {
        void accept(long from, long to);
    }

    static void forEach(long size, Range body) {
        LongStream.range(0, (size + LENGTH - 1) / LENGTH).parallel()
                .forEach(i -> body.accept(i * LENGTH, Math.min(size, (i + 1) * LENGTH)));
    }
}
