package dev.gyre.dist;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.function.Consumer;

/// Workers that are processes, started by the launcher of an MPI library: `mpirun`, `srun`, an operator on Kubernetes.
/// Without such a launcher no MPI library is opened.
///
/// An exchange that takes too long means that some worker hangs, which MPI itself does not notice: a thread of this class
/// then ends all workers ([#patience]).
public final class Mpi implements Collective {
    /// Where launchers say how many workers there are: Open MPI, MPICH's hydra and Intel MPI, SLURM's srun. (What SLURM
    /// calls SLURM_NTASKS is also there in a batch script, which nothing launched.)
    private static final List<String> SIZES = List.of("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS");
    /// The only sign of PMIx, which does not say how many there are.
    private static final String PMIX = "PMIX_RANK";
    /// Exit status of a worker that gave up.
    private static final int GAVE_UP = 70;
    private static final int CHUNK = 1 << 26;

    private final MpiLibrary mpi;
    private final int rank;
    private final int size;
    private final TreeSum sum;
    private final Arena arena = Arena.ofShared();
    private MemorySegment small = MemorySegment.NULL;
    private long summing;
    private long waiting;
    private volatile boolean closed;
    // read by the watching thread
    private volatile long entered;
    private volatile int waitsFor = -1;
    private volatile double patience = Double.POSITIVE_INFINITY;

    private Mpi(MpiLibrary mpi, Consumer<String> last) {
        this.mpi = mpi;
        this.rank = mpi.rank();
        this.size = mpi.size();
        this.sum = new TreeSum(rank, size, (to, send, from, receive) -> {
            waitsFor = from;
            mpi.exchange(to, send, from, receive);
            waitsFor = -1;
        });
        Thread.ofPlatform().daemon().name("watchdog").start(() -> watch(last));
    }

    /// The workers that the launcher of this process has started, or [Alone] if none has.
    ///
    /// @param environment of the process
    /// @param last shows the line with which a worker ends that has waited too long for another one
    /// @throws WorkerException if the launcher and the MPI library do not agree about the workers
    public static Collective join(Map<String, String> environment, Consumer<String> last) {
        OptionalInt launched = launched(environment);
        if (launched.isEmpty())
            return Alone.INSTANCE;
        MpiLibrary mpi = MpiLibrary.start(environment);
        Mpi m = new Mpi(mpi, last);
        int expected = launched.getAsInt();
        if (expected > 0 && m.size != expected) {
            String reason = "the launcher started " + expected + " workers, but " + m.version() + " (" + mpi.file()
                    + ") sees " + m.size + ": it belongs to another launcher; give the right library in "
                    + MpiLibrary.CHOICE + ", or with SLURM the right srun --mpi";
            m.close();
            throw new WorkerException(reason);
        }
        return m;
    }

    /// How many workers the launcher says there are: more than one, 0 if it does not say how many, empty without launcher.
    private static OptionalInt launched(Map<String, String> environment) {
        for (String name : SIZES) {
            String n = environment.get(name);
            if (n == null)
                continue;
            try {
                int workers = Integer.parseInt(n.strip());
                return workers > 1 ? OptionalInt.of(workers) : OptionalInt.empty();
            } catch (NumberFormatException e) {
                throw new WorkerException(name + "=" + n + " is not a number of workers");
            }
        }
        return environment.containsKey(PMIX) ? OptionalInt.of(0) : OptionalInt.empty();
    }

    /// Whether this process is one of several that a launcher started.
    public static boolean isLaunched(Map<String, String> environment) {
        return launched(environment).isPresent();
    }

    /// MPI libraries of this machine with their versions, for `gyre doctor`.
    public static List<String> libraries() {
        return MpiLibrary.installed();
    }

    private void watch(Consumer<String> last) {
        while (!closed) {
            try {
                Thread.sleep(200);
            } catch (InterruptedException e) {
                return;
            }
            long since = entered;
            double waited = since == 0 ? 0 : (System.nanoTime() - since) / 1e9;
            if (waited <= patience)
                continue;
            int other = waitsFor;
            last.accept("worker " + rank + " has waited " + Math.round(waited) + " s for "
                    + (other < 0 ? "the other workers" : "worker " + other)
                    + ", which hangs or is cut off; all workers end, --resume goes on from the last checkpoint");
            giveUp(GAVE_UP);
        }
    }

    private void giveUp(int status) {
        // MPI_Abort may hang with a worker that does
        Thread.ofPlatform().daemon().start(() -> mpi.abort(status));
        try {
            Thread.sleep(3000);
        } catch (InterruptedException e) {
            // ends all the same
        }
        Runtime.getRuntime().halt(status);
    }

    private void enter() {
        entered = System.nanoTime();
    }

    private long leave() {
        long nanos = System.nanoTime() - entered;
        entered = 0;
        return nanos;
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public void sum(float[] values) {
        enter();
        sum.sum(values);
        summing += leave();
    }

    @Override
    public double[][] gather(double... mine) {
        enter();
        int n = mine.length;
        MemorySegment all = small(8L * n * (size + 1));
        MemorySegment own = all.asSlice(0, 8L * n);
        MemorySegment others = all.asSlice(8L * n, 8L * n * size);
        MemorySegment.copy(mine, 0, own, ValueLayout.JAVA_DOUBLE, 0, n);
        mpi.gather(own, others);
        double[][] out = new double[size][n];
        for (int r = 0; r < size; r++)
            MemorySegment.copy(others, ValueLayout.JAVA_DOUBLE, 8L * n * r, out[r], 0, n);
        waiting += leave();
        return out;
    }

    @Override
    public void broadcast(float[] values) {
        enter();
        for (int at = 0; at < values.length; at += CHUNK) {
            int n = Math.min(CHUNK, values.length - at);
            MemorySegment s = small(4L * n);
            MemorySegment.copy(values, at, s, ValueLayout.JAVA_FLOAT, 0, n);
            mpi.broadcast(s);
            MemorySegment.copy(s, ValueLayout.JAVA_FLOAT, 0, values, at, n);
        }
        waiting += leave();
    }

    @Override
    public byte[] broadcast(byte[] values) {
        enter();
        MemorySegment length = small(4);
        length.set(ValueLayout.JAVA_INT, 0, values.length);
        mpi.broadcast(length);
        int n = length.get(ValueLayout.JAVA_INT, 0);
        byte[] out = rank == 0 ? values.clone() : new byte[n];
        MemorySegment s = small((n + 3L) / 4 * 4);
        MemorySegment.copy(out, 0, s, ValueLayout.JAVA_BYTE, 0, n);
        mpi.broadcast(s);
        MemorySegment.copy(s, ValueLayout.JAVA_BYTE, 0, out, 0, n);
        waiting += leave();
        return out;
    }

    /// Memory outside the heap for small messages.
    private MemorySegment small(long bytes) {
        if (small.byteSize() < bytes)
            small = arena.allocate(bytes, 8);
        return small.asSlice(0, bytes);
    }

    @Override
    public void patience(double seconds) {
        patience = seconds;
    }

    @Override
    public void abort(String reason, int status) {
        giveUp(status);
    }

    @Override
    public double exchanging() {
        return summing / 1e9;
    }

    @Override
    public double waiting() {
        return waiting / 1e9;
    }

    private String version() {
        return mpi.version();
    }

    @Override
    public String describe() {
        return size + " workers, " + mpi.version();
    }

    @Override
    public void close() {
        if (closed)
            return;
        closed = true;
        enter();
        mpi.finish();
        waiting += leave();
        sum.close();
        arena.close();
    }
}
