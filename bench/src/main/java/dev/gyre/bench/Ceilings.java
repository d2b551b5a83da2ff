package dev.gyre.bench;

import java.util.Arrays;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;

/// What this machine can do at most on some threads, measured: multiply-adds in registers, and copying large arrays.
///
/// @param threads threads that worked at once
/// @param gflops F32 multiply-adds by the Vector API at its preferred width, a multiply-add counted as two; NaN where the
///        JVM runs without that API
/// @param copyGbs bytes read plus bytes written by `System.arraycopy`, as programs name them (a cache that first reads
///        what it overwrites moves half as many again), in 10^9 bytes a second
record Ceilings(int threads, double gflops, double copyGbs) {
    private static final int TRIES = 7;
    /// Work of one try, about 30 ms a core.
    private static final long ROUNDS = 15_000_000;
    /// 64 MiB read and 64 MiB written by each thread: beyond any cache.
    private static final int COPIED = 1 << 24;

    /// Measures; takes less than a second. The best of some tries counts: a ceiling is what was reached once.
    public static Ceilings measure(int threads) {
        return new Ceilings(threads, fma(threads), copy(threads));
    }

    /// Multiply-adds alone, in 10^9 operations a second.
    static double fma(int threads) {
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty())
            return Double.NaN;
        float[] sink = new float[threads];
        double best = 0;
        for (int i = 0; i < TRIES; i++)
            best = Math.max(best, threads * FmaLoop.flops(ROUNDS)
                    / together(threads, t -> sink[t] += FmaLoop.run(ROUNDS)) / 1e9);
        if (Float.isNaN(sink[0]))
            throw new IllegalStateException("the multiply-add loop overflowed");
        return best;
    }

    private static double copy(int threads) {
        float[][] from = new float[threads][COPIED];
        float[][] to = new float[threads][COPIED];
        for (float[] f : from)
            Arrays.fill(f, 1f);
        double best = 0;
        for (int i = 0; i < TRIES; i++)
            best = Math.max(best, threads * 8.0 * COPIED
                    / together(threads, t -> System.arraycopy(from[t], 0, to[t], 0, COPIED)) / 1e9);
        return best;
    }

    private interface Part {
        void run(int thread);
    }

    /// Seconds until all threads have done their part, from the moment at which all are ready.
    private static double together(int threads, Part part) {
        long[] begun = new long[1];
        CyclicBarrier start = new CyclicBarrier(threads, () -> begun[0] = System.nanoTime());
        Thread[] all = new Thread[threads];
        for (int t = 0; t < threads; t++) {
            int mine = t;
            all[t] = Thread.ofPlatform().start(() -> {
                try {
                    start.await();
                } catch (InterruptedException | BrokenBarrierException e) {
                    return;
                }
                part.run(mine);
            });
        }
        try {
            for (Thread t : all)
                t.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while measuring", e);
        }
        return (System.nanoTime() - begun[0]) / 1e9;
    }

    /// Least milliseconds that some arithmetic and some memory traffic take under these ceilings.
    double floorMs(long flops, long bytes) {
        return Math.max(Double.isNaN(gflops) ? 0 : flops / gflops, bytes / copyGbs) / 1e6;
    }
}
