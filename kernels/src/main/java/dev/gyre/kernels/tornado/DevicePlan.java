package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.tornado.DeviceMemory.Pool;
import dev.gyre.kernels.tornado.TaskGraphs.Launch;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// All that a session of some programs needs on a device: its arrays, its task graphs, and what each program executes. Without
/// arrays ([#outline]) it says what that takes.
final class DevicePlan {
    /// A small array through which the host reads or writes parts of the large arrays of one type, and the graph that copies
    /// between them. The graph has a task for each part of the large array, of which all but one copy nothing.
    record Door<A extends TornadoNativeArray>(A array, int length, Launch launch) {
        /// Copies `n` elements to or from element `at` of a part.
        void aim(int part, int at, int n) {
            for (int p = 0; p < launch.offsets().length; p++) {
                launch.offsets()[p][0] = at;
                launch.offsets()[p][1] = p == part ? n : 0;
            }
        }

        long bytes() {
            return (long) length * array.getElementSize() + TornadoNativeArray.ARRAY_HEADER;
        }
    }

    /// Elements of a small door, and bytes of a large one at most.
    private static final int SMALL = 1 << 12;
    private static final int LARGE_BYTES = 16 << 20;

    final DeviceMemory memory;
    final TaskGraphs tasks;
    final List<List<Launch>> programs = new ArrayList<>();
    /// Gives every array its storage and first values.
    final Launch bind;
    final List<Door<FloatArray>> puts = new ArrayList<>();
    final List<Door<FloatArray>> gets = new ArrayList<>();
    final @Nullable Door<ShortArray> putShorts;
    final @Nullable Door<ByteArray> putBytes;
    /// The first graph of the programs.
    final int first;
    private final boolean allocates;

    private DevicePlan(List<Program> all, DeviceMemory memory, Lowering.Choice choice, boolean allocates) {
        this.memory = memory.measured(all, choice);
        this.tasks = new TaskGraphs(true, choice.cudaGraphs());
        this.allocates = allocates;
        if (allocates)
            memory.allocate();
        bind = tasks.single(this::bind);
        int[] sizes = doors(memory.floats);
        for (int n : sizes)
            puts.add(putFloats(n));
        for (int n : sizes)
            gets.add(getFloats(n));
        putShorts = memory.shorts.parts() == 0 ? null : putShorts(large(memory.shorts));
        putBytes = memory.bytes.parts() == 0 ? null : putBytes(large(memory.bytes));
        first = tasks.graphs().size();
        for (Program p : all) {
            Lowering.lower(p, tasks, memory, choice);
            programs.add(tasks.finish());
        }
    }

    /// The plan with its arrays.
    static DevicePlan of(List<Program> all, DeviceMemory memory, Lowering.Choice choice) {
        return new DevicePlan(all, memory, choice, true);
    }

    /// The plan without arrays.
    static DevicePlan outline(List<Program> all, DeviceMemory memory, Lowering.Choice choice) {
        return new DevicePlan(all, memory, choice, false);
    }

    private void bind() {
        for (int p = 0; p < memory.floats.parts(); p++) {
            int n = memory.floats.length(p);
            int items = Math.min(n, ElementTransferKernels.ITEMS);
            tasks.task("fillFloats", items(items), ElementTransferKernels::fillFloats,
                    new int[] {memory.zeros(p)[0], memory.zeros(p)[1], 0}, memory.floats.array(p), memory.inputs(), n,
                    items);
        }
        int out = memory.outputsLength();
        tasks.task("fillFloats", items(out), ElementTransferKernels::fillFloats, new int[] {0, out, 0},
                memory.outputs(), memory.inputs(), out, out);
        for (int p = 0; p < memory.shorts.parts(); p++) {
            int n = memory.shorts.length(p);
            int items = Math.min(n, ElementTransferKernels.ITEMS);
            tasks.task("fillShorts", items(items), ElementTransferKernels::fillShorts, new int[] {0x7fc0, 0},
                    memory.shorts.array(p), n, items);
        }
        for (int p = 0; p < memory.pairs.parts(); p++) {
            int n = memory.pairs.length(p);
            int items = Math.min(n, ElementTransferKernels.ITEMS);
            tasks.task("fillInts", items(items), ElementTransferKernels::fillInts, new int[] {0x7fc07fc0, 0},
                    memory.pairs.array(p), n, items);
        }
        for (int p = 0; p < memory.bytes.parts(); p++) {
            int n = memory.bytes.length(p);
            int items = Math.min(n, ElementTransferKernels.ITEMS);
            tasks.task("fillBytes", items(items), ElementTransferKernels::fillBytes, new int[] {0, 0},
                    memory.bytes.array(p), n, items);
        }
    }

    private static int[] doors(Pool<?> pool) {
        int large = large(pool);
        return large <= SMALL ? new int[] {large} : new int[] {SMALL, large};
    }

    private static int large(Pool<?> pool) {
        int longest = 0;
        for (int p = 0; p < pool.parts(); p++)
            longest = Math.max(longest, pool.length(p));
        return Math.min(longest, LARGE_BYTES / pool.width());
    }

    private Door<FloatArray> putFloats(int n) {
        FloatArray a = new FloatArray(allocates ? n : 1);
        return new Door<>(a, n, tasks.single(() -> {
            for (int p = 0; p < memory.floats.parts(); p++)
                tasks.task("putFloats", items(n), ElementTransferKernels::putFloats, new int[2], memory.floats.array(p),
                        a, n);
            tasks.task("putFloats", items(n), ElementTransferKernels::putFloats, new int[2], memory.outputs(), a, n);
        }));
    }

    private Door<FloatArray> getFloats(int n) {
        FloatArray a = new FloatArray(allocates ? n : 1);
        return new Door<>(a, n, tasks.single(() -> {
            for (int p = 0; p < memory.floats.parts(); p++)
                tasks.task("getFloats", items(n), ElementTransferKernels::getFloats, new int[2], memory.floats.array(p),
                        a, n);
        }));
    }

    private Door<ShortArray> putShorts(int n) {
        ShortArray a = new ShortArray(allocates ? n : 1);
        return new Door<>(a, n, tasks.single(() -> {
            for (int p = 0; p < memory.shorts.parts(); p++)
                tasks.task("putShorts", items(n), ElementTransferKernels::putShorts, new int[2], memory.shorts.array(p),
                        a, n);
        }));
    }

    private Door<ByteArray> putBytes(int n) {
        ByteArray a = new ByteArray(allocates ? n : 1);
        return new Door<>(a, n, tasks.single(() -> {
            for (int p = 0; p < memory.bytes.parts(); p++)
                tasks.task("putBytes", items(n), ElementTransferKernels::putBytes, new int[2], memory.bytes.array(p), a,
                        n);
        }));
    }

    private List<Door<?>> doors() {
        List<Door<?>> all = new ArrayList<>(puts);
        all.addAll(gets);
        if (putShorts != null)
            all.add(putShorts);
        if (putBytes != null)
            all.add(putBytes);
        return all;
    }

    /// The array that the graph of that number copies to the device, or from it.
    @Nullable
    TornadoNativeArray door(int graph) {
        for (Door<?> d : doors())
            if (d.launch.graph() == graph)
                return d.array;
        return null;
    }

    boolean reads(int graph) {
        return gets.stream().anyMatch(d -> d.launch.graph() == graph);
    }

    /// Number of arrays on the device.
    int arrays() {
        return memory.resident().length + doors().size() + 1;
    }

    /// Bytes on the device. Each graph has its own copy of `at`, and that of [#bind] one of the small inputs.
    long bytes() {
        return memory.residentBytes() + memory.inputBytes() + doors().stream().mapToLong(Door::bytes).sum()
                + atBytes() * tasks.graphs().size();
    }

    private long atBytes() {
        return (long) tasks.atLength() * Integer.BYTES + TornadoNativeArray.ARRAY_HEADER;
    }

    /// Bytes of the arrays that the host touches.
    long hostBytes() {
        return memory.mirroredBytes() + doors().stream().mapToLong(Door::bytes).sum() + atBytes();
    }

    /// Number of kernels, and of task graphs, that the programs need, and how many graphs one run of each executes.
    int kernels() {
        Set<String> names = new HashSet<>();
        tasks.graphs().subList(first, tasks.graphs().size()).forEach(g -> names.addAll(g.names()));
        return names.size();
    }

    int graphs() {
        return tasks.graphs().size() - first;
    }

    int launches() {
        return programs.stream().mapToInt(List::size).sum();
    }

    IntArray newAt() {
        return new IntArray(tasks.atLength());
    }
}
