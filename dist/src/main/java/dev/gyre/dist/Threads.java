package dev.gyre.dist;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/// Workers that are threads of one JVM, which exchange the same messages as [Mpi]'s. For tests, and for several devices of
/// one machine.
public final class Threads implements Collective {
    private static final Object ARRIVED = new Object();

    /// What all workers share: a place for a message from each worker to each other one, and why they end.
    private static final class Shared {
        final List<BlockingQueue<Object>> messages = new ArrayList<>();
        final List<BlockingQueue<Object>> receipts = new ArrayList<>();
        final AtomicReference<@Nullable String> failure = new AtomicReference<>();
        final int size;

        Shared(int size) {
            this.size = size;
            for (int i = 0; i < size * size; i++) {
                messages.add(new ArrayBlockingQueue<>(1));
                receipts.add(new ArrayBlockingQueue<>(1));
            }
        }

        int way(int from, int to) {
            return from * size + to;
        }
    }

    private final int rank;
    private final Shared shared;
    private final TreeSum sum;
    private long summing;
    private long waiting;

    private Threads(int rank, Shared shared) {
        this.rank = rank;
        this.shared = shared;
        this.sum = new TreeSum(rank, shared.size, (to, send, from, receive) -> receive.copyFrom(
                (MemorySegment) swap(to, send, from)));
    }

    /// The workers' ends; each is to be used by a thread of its own.
    public static List<Collective> of(int size) {
        if (size < 1)
            throw new IllegalArgumentException(size + " workers");
        Shared shared = new Shared(size);
        List<Collective> all = new ArrayList<>();
        for (int r = 0; r < size; r++)
            all.add(new Threads(r, shared));
        return all;
    }

    /// Gives `message` to a worker and takes one; the sender of a message may change it after the next [#receipt].
    private Object swap(int to, Object message, int from) {
        put(shared.messages.get(shared.way(rank, to)), message);
        Object got = take(shared.messages.get(shared.way(from, rank)));
        Object kept = got instanceof MemorySegment s ? copy(s) : got;
        put(shared.receipts.get(shared.way(from, rank)), ARRIVED);
        take(shared.receipts.get(shared.way(rank, to)));
        return kept;
    }

    private static MemorySegment copy(MemorySegment s) {
        byte[] bytes = s.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
        return MemorySegment.ofArray(bytes);
    }

    private void put(BlockingQueue<Object> queue, Object o) {
        try {
            while (!queue.offer(o, 20, TimeUnit.MILLISECONDS))
                check();
        } catch (InterruptedException e) {
            throw interrupted();
        }
    }

    private Object take(BlockingQueue<Object> queue) {
        try {
            while (true) {
                Object o = queue.poll(20, TimeUnit.MILLISECONDS);
                if (o != null)
                    return o;
                check();
            }
        } catch (InterruptedException e) {
            throw interrupted();
        }
    }

    private void check() {
        String why = shared.failure.get();
        if (why != null)
            throw new WorkerException(why);
    }

    private WorkerException interrupted() {
        Thread.currentThread().interrupt();
        return new WorkerException("worker " + rank + " was interrupted in an exchange");
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int size() {
        return shared.size;
    }

    @Override
    public void sum(float[] values) {
        long begun = System.nanoTime();
        if (shared.size > 1)
            sum.sum(values);
        summing += System.nanoTime() - begun;
    }

    @Override
    public double[][] gather(double... mine) {
        long begun = System.nanoTime();
        double[][] all = new double[shared.size][];
        all[rank] = mine.clone();
        for (int s = 1; s < shared.size; s++) {
            int from = (rank - s + shared.size) % shared.size;
            all[from] = ((double[]) swap((rank + s) % shared.size, mine.clone(), from)).clone();
        }
        for (double[] d : all)
            if (Objects.requireNonNull(d).length != mine.length)
                throw new IllegalArgumentException("workers gather " + mine.length + " and " + d.length + " numbers");
        waiting += System.nanoTime() - begun;
        return all;
    }

    @Override
    public void broadcast(float[] values) {
        float[] from = (float[]) fromFirst(values.clone());
        System.arraycopy(from, 0, values, 0, values.length);
    }

    @Override
    public byte[] broadcast(byte[] values) {
        return ((byte[]) fromFirst(values.clone())).clone();
    }

    private Object fromFirst(Object mine) {
        if (rank > 0) {
            Object got = take(shared.messages.get(shared.way(0, rank)));
            put(shared.receipts.get(shared.way(0, rank)), ARRIVED);
            return got;
        }
        for (int r = 1; r < shared.size; r++)
            put(shared.messages.get(shared.way(0, r)), mine);
        for (int r = 1; r < shared.size; r++)
            take(shared.receipts.get(shared.way(0, r)));
        return mine;
    }

    @Override
    public void abort(String reason, int status) {
        shared.failure.compareAndSet(null, "worker " + rank + " ended: " + reason);
    }

    @Override
    public double exchanging() {
        return summing / 1e9;
    }

    @Override
    public double waiting() {
        return waiting / 1e9;
    }

    @Override
    public String describe() {
        return shared.size + (shared.size == 1 ? " worker" : " workers") + " in one process";
    }

    @Override
    public void close() {
        sum.close();
    }
}
