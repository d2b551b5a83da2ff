package dev.gyre.kernels.cpu;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// A small pool: the calling thread and `threads - 1` daemon threads take the items of a job one after another. Which
/// thread takes an item varies and must not affect what the item computes; so results are the same from run to run.
/// Workers spin for some microseconds between jobs, then sleep. One job at a time, from one caller.
final class ThreadPool implements AutoCloseable {
    /// One part of a job; `worker` in `0..threads-1` picks the scratch memory.
    interface Body {
        void run(int item, int worker);
    }

    private static final float[] NOTHING = {};
    private static final int SPINS = 4000;
    /// Item part of a ticket between two jobs, while `body` and `items` are being changed.
    private static final long NONE = 0x80000000L;

    private final int threads;
    private final int spins;
    private final Thread[] workers;
    private final float[][][] scratch;
    private final float[][][][] sections;
    private final double[][][][] squares;

    /// Job number in the upper half, next item in the lower; a thread owns an item once it has incremented it.
    private final AtomicLong ticket = new AtomicLong();
    private final AtomicInteger done = new AtomicInteger();
    private final AtomicInteger asleep = new AtomicInteger();
    private volatile boolean closed;
    private volatile @Nullable Throwable failure;
    private Body body = (item, worker) -> {
    };
    private int items;

    ThreadPool(int threads) {
        if (threads < 1)
            throw new IllegalArgumentException("threads must be at least 1, not " + threads);
        this.threads = threads;
        this.spins = threads > Runtime.getRuntime().availableProcessors() ? 1 : SPINS;
        this.scratch = new float[threads + 1][4][0];
        this.sections = new float[threads + 1][2][0][];
        this.squares = new double[threads][4][0][0];
        this.workers = new Thread[threads - 1];
        for (int w = 1; w < threads; w++) {
            int worker = w;
            Thread t = Thread.ofPlatform().daemon().name("gyre-cpu-" + w).unstarted(() -> work(worker));
            workers[w - 1] = t;
            t.start();
        }
    }

    int threads() {
        return threads;
    }

    /// Work space of a worker, reused from run to run; `which` in 0..3, contents undefined.
    float[] scratch(int worker, int which, int n) {
        float[] s = scratch[worker][which];
        if (s.length < n) {
            s = new float[n];
            scratch[worker][which] = s;
        }
        return s;
    }

    /// `count` arrays of a worker, or shared where `worker` is [#threads], `which` in 0..1; see [#section].
    float[][] sections(int worker, int which, int count) {
        float[][] s = sections[worker][which];
        int have = s.length;
        if (have < count) {
            s = Arrays.copyOf(s, count);
            Arrays.fill(s, have, count, NOTHING);
            sections[worker][which] = s;
        }
        return s;
    }

    /// Array i of `sections`, of at least `size` elements, an operand of [SimdTiles#strip]; contents undefined.
    static float[] section(float[][] sections, int i, int size) {
        if (sections[i].length < size)
            sections[i] = new float[size];
        return sections[i];
    }

    /// Work space shared by the items of one job.
    float[] shared(int which, int n) {
        return scratch(threads, which, n);
    }

    /// Square matrices of doubles, row by row, as [#scratch]; at least n x n, contents undefined.
    double[][] squares(int worker, int which, int n) {
        double[][] s = squares[worker][which];
        if (s.length < n) {
            s = new double[n][n];
            squares[worker][which] = s;
        }
        return s;
    }

    long scratchBytes() {
        return Stream.concat(Arrays.stream(scratch), Arrays.stream(sections).flatMap(Arrays::stream))
                .flatMap(Arrays::stream).mapToLong(s -> 4L * s.length).sum()
                + Arrays.stream(squares).flatMap(Arrays::stream).mapToLong(s -> 8L * s.length * s.length).sum();
    }

    /// Runs `body` for items `0..n-1` and returns when all are done. An exception of any item is rethrown here; items
    /// not yet begun by then are skipped.
    void forEach(int n, Body job) {
        if (n <= 0)
            return;
        if (threads == 1 || n == 1) {
            for (int i = 0; i < n; i++)
                job.run(i, 0);
            return;
        }
        long mine = ((ticket.get() >>> 32) + 1) << 32;
        ticket.set(mine - (1L << 32) | NONE);
        body = job;
        items = n;
        failure = null;
        done.set(0);
        ticket.set(mine);
        if (asleep.get() > 0)
            for (Thread t : workers)
                LockSupport.unpark(t);
        take(mine >>> 32, 0);
        for (int i = 0; done.get() < n; i++)
            if (i < SPINS && spins > 1)
                Thread.onSpinWait();
            else
                Thread.yield();
        Throwable t = failure;
        if (t != null)
            rethrow(t);
    }

    private static void rethrow(Throwable t) {
        if (t instanceof RuntimeException e)
            throw e;
        if (t instanceof Error e)
            throw e;
        throw new IllegalStateException(t);
    }

    /// Takes items of the given job until none is left. The values read of `body` and `items` are valid only if the
    /// item is won afterwards: [#forEach] changes them after it has changed the ticket.
    private void take(long job, int worker) {
        while (true) {
            long seen = ticket.get();
            if (seen >>> 32 != job)
                return;
            Body b = body;
            int n = items;
            int item = (int) seen;
            if (item < 0 || item >= n)
                return;
            if (!ticket.compareAndSet(seen, seen + 1))
                continue;
            try {
                if (failure == null)
                    b.run(item, worker);
            } catch (Throwable t) {
                failure = t;
            } finally {
                done.incrementAndGet();
            }
        }
    }

    private void work(int worker) {
        long last = 0;
        while (!closed) {
            long job = ticket.get() >>> 32;
            for (int i = 0; job == last && i < spins; i++) {
                Thread.onSpinWait();
                job = ticket.get() >>> 32;
            }
            if (job == last) {
                asleep.incrementAndGet();
                if (ticket.get() >>> 32 == last && !closed)
                    LockSupport.park(this);
                asleep.decrementAndGet();
                continue;
            }
            last = job;
            take(job, worker);
        }
    }

    @Override
    public void close() {
        closed = true;
        for (Thread t : workers)
            LockSupport.unpark(t);
    }
}
