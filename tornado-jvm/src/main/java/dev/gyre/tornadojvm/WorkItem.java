package dev.gyre.tornadojvm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.enums.MMAShape;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.BFloat16;
import uk.ac.manchester.tornado.api.types.HalfFloat;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// One work item of a work group. Groups run one after another, the items of a group on virtual threads that meet at
/// barriers. Items of a group that pass different numbers of barriers are an error: a device would hang.
public final class WorkItem {
    /// Items of a work group that execute each instruction together; consecutive along x.
    static final int WARP = 32;

    /// The indices and sizes of a [uk.ac.manchester.tornado.api.KernelContext] that no scheduler made: zeros.
    public static final WorkItem NONE = new WorkItem(new long[3], new long[3], new long[3], new long[3], null);

    private final long[] group;
    private final long[] local;
    private final long[] groups;
    private final long[] localSize;
    private final @Nullable WorkGroup shared;
    private int allocations;
    private int passed;

    private WorkItem(long[] group, long[] local, long[] groups, long[] localSize, @Nullable WorkGroup shared) {
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
            WorkGroup shared = new WorkGroup(items);
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
                        shared.end();
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
            shared.barrier();
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

    /// A fragment of 16 x 16 (`a`) or 16 x 8 elements of a tile in local memory.
    public HalfFloat[] loadFragment(boolean a, int[] tile, int k, int byteOffset) {
        if (k != TensorCore.K)
            throw new TornadoRuntimeException("the tiles of mma.m16n8k16 are " + TensorCore.K + " deep, not " + k);
        TensorCore.Source source = new TensorCore.Source(tile, byteOffset);
        return (HalfFloat[]) collective(a ? "mmaLoadA" : "mmaLoadB", source, a ? TensorCore::loadA : TensorCore::loadB);
    }

    /// The accumulator fragment whose four elements in this lane are `v`.
    public float[] fragment(float v) {
        return TensorCore.fragment(v);
    }

    public float[] multiplyBf16(HalfFloat[] a, HalfFloat[] b, float[] c, MMAShape shape) {
        return multiply("mmaBF16", a, b, c, shape, x -> BFloat16.bf16ToFloat(x.getHalfFloatValue()));
    }

    public float[] multiplyFp16(HalfFloat[] a, HalfFloat[] b, float[] c, MMAShape shape) {
        return multiply("mma", a, b, c, shape, x -> Float.float16ToFloat(x.getHalfFloatValue()));
    }

    private float[] multiply(String name, HalfFloat[] a, HalfFloat[] b, float[] c, MMAShape shape,
            ToDoubleFunction<HalfFloat> decode) {
        if (shape != MMAShape.M16N8K16)
            throw new TornadoRuntimeException(name + " multiplies tiles of " + MMAShape.M16N8K16 + ", not " + shape);
        return (float[]) collective(name, new TensorCore.Factors(a, b, c),
                lanes -> TensorCore.multiply(lanes, decode));
    }

    /// Stores this lane's elements of a tile (16,8) that begins at a row and a column of a matrix with rows of `width`
    /// elements. Row and column are those of the lane; they may differ within a warp.
    public void store(float[] fragment, FloatArray to, int row, int column, int width) {
        int lane = lane();
        for (int i = 0; i < 4; i++)
            to.set((row + (lane >> 2) + 8 * (i >> 1)) * width + column + 2 * (lane & 3) + (i & 1),
                    TensorCore.element(fragment, i));
    }

    private Object collective(String name, Object argument, WorkGroup.Collective code) {
        if (shared == null)
            throw new TornadoRuntimeException(name + " outside a kernel");
        int lane = lane();
        int row = (int) (local[1] + local[2] * localSize[1]);
        return shared.collective((int) (row * localSize[0] + local[0]) / WARP, lane, name, argument, code);
    }

    /// TornadoVM takes the lane from the index along x.
    private int lane() {
        if (localSize[0] % WARP != 0)
            throw new TornadoRuntimeException(
                    "tensor cores need work groups whose size along x is a multiple of " + WARP + ", not "
                            + localSize[0]);
        return (int) local[0] % WARP;
    }
}
