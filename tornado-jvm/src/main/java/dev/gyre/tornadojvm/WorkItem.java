package dev.gyre.tornadojvm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Phaser;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;

/// One work item of a work group. Groups run one after another, the items of a group on virtual threads that meet at
/// barriers. Items of a group that pass different numbers of barriers are an error: a device would hang.
public final class WorkItem {
    /// Shared memory of one group: arrays in the order of their allocation, the same for every item.
    private static final class Group {
        private final List<Object> local = new ArrayList<>();
        private final Phaser barrier;
        private int allocated;

        Group(int items) {
            barrier = new Phaser(items);
        }

        @SuppressWarnings("unchecked")
        synchronized <T> T array(int index, T fresh, int bytes) {
            if (index == local.size()) {
                local.add(fresh);
                allocated += bytes;
                if (allocated > JvmRuntime.LOCAL_MEMORY)
                    throw new TornadoRuntimeException("a work group needs " + allocated + " bytes of local memory, of "
                            + JvmRuntime.LOCAL_MEMORY);
            }
            return (T) local.get(index);
        }
    }

    /// The indices and sizes of a [uk.ac.manchester.tornado.api.KernelContext] that no scheduler made: zeros.
    public static final WorkItem NONE = new WorkItem(new long[3], new long[3], new long[3], new long[3], null);

    private final long[] group;
    private final long[] local;
    private final long[] groups;
    private final long[] localSize;
    private final @Nullable Group shared;
    private int allocations;
    private int passed;

    private WorkItem(long[] group, long[] local, long[] groups, long[] localSize, @Nullable Group shared) {
        this.group = group;
        this.local = local;
        this.groups = groups;
        this.localSize = localSize;
        this.shared = shared;
    }

    /// Runs `kernel` for every item of a grid.
    static void runAll(long[] global, long[] local, Consumer<WorkItem> kernel) {
        long[] groups = {global[0] / local[0], global[1] / local[1], global[2] / local[2]};
        int items = (int) (local[0] * local[1] * local[2]);
        for (long g = 0; g < groups[0] * groups[1] * groups[2]; g++) {
            long[] at = {g % groups[0], g / groups[0] % groups[1], g / groups[0] / groups[1]};
            Group shared = new Group(items);
            AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
            List<Thread> threads = new ArrayList<>();
            List<WorkItem> all = new ArrayList<>();
            for (long i = 0; i < items; i++) {
                long[] in = {i % local[0], i / local[0] % local[1], i / local[0] / local[1]};
                WorkItem item = new WorkItem(at, in, groups, local, shared);
                all.add(item);
                threads.add(Thread.startVirtualThread(() -> {
                    try {
                        kernel.accept(item);
                    } catch (Throwable e) {
                        failure.compareAndSet(null, e);
                    } finally {
                        shared.barrier.arriveAndDeregister();
                    }
                }));
            }
            for (Thread t : threads)
                join(t);
            Throwable e = failure.get();
            if (e != null)
                throw new TornadoRuntimeException("a work item failed: " + e);
            if (all.stream().mapToInt(w -> w.passed).distinct().count() > 1)
                throw new TornadoRuntimeException(
                        "some work items of a group wait at a barrier that others never reach");
        }
    }

    private static void join(Thread t) {
        try {
            t.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new TornadoRuntimeException("interrupted");
        }
    }

    public int global(int dim) {
        return (int) (group[dim] * localSize[dim] + local[dim]);
    }

    public int group(int dim) {
        return (int) group[dim];
    }

    public int local(int dim) {
        return (int) local[dim];
    }

    public int globalSize(int dim) {
        return (int) (groups[dim] * localSize[dim]);
    }

    public int localSize(int dim) {
        return (int) localSize[dim];
    }

    public void barrier() {
        if (shared != null) {
            passed++;
            shared.barrier.arriveAndAwaitAdvance();
        }
    }

    /// Local memory holds garbage at first, on a device and here.
    public float[] floats(int size) {
        float[] fresh = new float[size];
        Arrays.fill(fresh, Float.NaN);
        return shared == null ? fresh : shared.array(allocations++, fresh, 4 * size);
    }

    public int[] ints(int size) {
        int[] fresh = new int[size];
        Arrays.fill(fresh, 0x5a5a5a5a);
        return shared == null ? fresh : shared.array(allocations++, fresh, 4 * size);
    }
}
