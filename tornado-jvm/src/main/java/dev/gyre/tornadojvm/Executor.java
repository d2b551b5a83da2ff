package dev.gyre.tornadojvm;

import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.DoubleArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.LongArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// The device of one execution plan: the device copies of each graph's arrays, and the rules of transfer between them.
public final class Executor {
    private final List<Graph> graphs;
    private final Map<Graph, Map<Object, TornadoNativeArray>> memory = new IdentityHashMap<>();
    private final Libraries libraries = new Libraries();
    private List<Graph> selected;
    private @Nullable Graph last;
    private @Nullable GridScheduler grids;

    public Executor(List<Graph> graphs) {
        this.graphs = List.copyOf(graphs);
        this.selected = this.graphs;
        for (Graph g : graphs)
            memory.put(g, new IdentityHashMap<>());
        requireOneCodePerName();
    }

    /// The SDK compiles a plan's tasks of the same graph name, task name and method only once, with the scalars of the first
    /// one as constants.
    private void requireOneCodePerName() {
        Map<String, List<Object>> constants = new HashMap<>();
        for (Graph g : graphs)
            for (Graph.Task t : g.tasks()) {
                List<Object> mine = t.constants();
                List<Object> first = constants.putIfAbsent(g.name() + "." + t.id() + "-" + t.code(), mine);
                if (first != null && !first.equals(mine))
                    throw new TornadoRuntimeException("two tasks " + g.name() + "." + t.id() + " run " + t.code()
                            + " with the constants " + first + " and " + mine
                            + "; the second would run the code that was compiled for the first");
            }
    }

    public void select(int graph) {
        selected = List.of(graphs.get(graph));
    }

    public void selectAll() {
        selected = graphs;
    }

    public void grids(GridScheduler scheduler) {
        if (graphs.stream()
                .noneMatch(g -> g.tasks().stream().anyMatch(t -> scheduler.get(g.name() + "." + t.id()) != null)))
            throw new TornadoRuntimeException("the grid scheduler names no task of any graph");
        grids = scheduler;
    }

    public void free() {
        libraries.close();
        memory.values().forEach(Map::clear);
        last = null;
    }

    public void execute() {
        for (Graph g : selected) {
            run(g);
            last = g;
        }
    }

    private Map<Object, TornadoNativeArray> memoryOf(Graph g) {
        Map<Object, TornadoNativeArray> m = memory.get(g);
        if (m == null)
            throw new TornadoRuntimeException(g + " is not of this plan");
        return m;
    }

    private void run(Graph g) {
        g.requireNodes();
        Map<Object, TornadoNativeArray> device = memoryOf(g);
        consume(g, device);
        for (Object a : g.arrays())
            if (!g.consumed().containsKey(a))
                allocate(g, device, (TornadoNativeArray) a);
        for (Graph.Task t : g.tasks())
            launch(g, t);
        g.toHost().forEach((a, mode) -> {
            if (mode != DataTransferMode.UNDER_DEMAND)
                copy(onDevice(g, a), (TornadoNativeArray) a);
        });
    }

    /// A consumed array is the same copy that the graph executed immediately before persisted.
    private void consume(Graph g, Map<Object, TornadoNativeArray> device) {
        Graph from = last;
        g.consumed().forEach((a, name) -> {
            if (from == null)
                throw new TornadoRuntimeException(
                        "task graph " + g.name()
                                + " consumes arrays but runs first; run the graph that makes them before");
            if (!name.isEmpty() && !name.equals(from.name()))
                throw new TornadoRuntimeException("task graph " + g.name() + " consumes an array of " + name + " but "
                        + from.name() + " ran immediately before");
            TornadoNativeArray copy = memoryOf(from).get(a);
            if (copy == null || !from.persists(a))
                throw new TornadoRuntimeException("task graph " + g.name() + " consumes a " + describe(a) + " that "
                        + from.name() + ", executed immediately before, did not leave on the device");
            device.put(a, copy);
        });
    }

    private static void allocate(Graph g, Map<Object, TornadoNativeArray> device, TornadoNativeArray a) {
        TornadoNativeArray copy = device.get(a);
        boolean first = copy == null;
        if (copy == null) {
            copy = like(a);
            device.put(a, copy);
        }
        Integer mode = g.toDevice().get(a);
        KernelCode.Access access = g.firstAccess(a);
        if (mode == null && access.reads())
            throw new TornadoRuntimeException("task graph " + g.name() + ": a task reads a " + describe(a)
                    + " that the graph neither transfers nor consumes nor writes before");
        boolean uploads = mode != null && access != KernelCode.Access.WRITE
                && (mode == DataTransferMode.EVERY_EXECUTION || first && mode == DataTransferMode.FIRST_EXECUTION);
        if (uploads)
            copy(a, copy);
        else
            if (first || mode == null && !g.persists(a) && !g.toHost().containsKey(a))
                fillWithGarbage(copy);
    }

    private void launch(Graph g, Graph.Task t) {
        LibraryTaskDescriptor library = t.library();
        if (library != null) {
            libraries.call(library, t.arguments(), a -> onDevice(g, a));
            return;
        }
        Object[] args = t.arguments().clone();
        for (int i = 0; i < args.length; i++)
            if (args[i] instanceof TornadoNativeArray)
                args[i] = onDevice(g, args[i]);
        String id = g.name() + "." + t.id();
        WorkerGrid grid = grids == null ? null : grids.get(id);
        if (!t.usesKernelContext()) {
            if (grid != null)
                for (long items : grid.getGlobalWork())
                    if (items > 1 << 30)
                        throw new TornadoRuntimeException(
                                id + ": " + items + " work items; the loop that TornadoVM makes"
                                        + " steps by their number, and its index would overflow from 2^30 on");
            t.call().run(args);
            return;
        }
        if (grid == null)
            throw new TornadoRuntimeException(id + " uses a KernelContext but has no worker grid");
        long[] global = grid.getGlobalWork();
        long[] local = grid.getLocalWork();
        for (int d = 0; d < 3; d++)
            if (local[d] < 1 || global[d] % local[d] != 0)
                throw new TornadoRuntimeException(
                        id + ": global size " + global[d] + " is not a multiple of the local size " + local[d]);
        WorkItem.runAll(global, local, item -> {
            Object[] own = args.clone();
            for (int i = 0; i < own.length; i++)
                if (own[i] instanceof KernelContext)
                    own[i] = new KernelContext(item);
            t.call().run(own);
        });
    }

    /// Copies arrays of the graph that ran last back to the host.
    public void transferToHost(Object... arrays) {
        Graph g = last;
        if (g == null)
            throw new TornadoRuntimeException("nothing was executed yet");
        for (Object a : arrays) {
            if (!g.toHost().containsKey(a))
                throw new TornadoRuntimeException(
                        "task graph " + g.name() + " does not list a " + describe(a) + " in transferToHost");
            copy(onDevice(g, a), (TornadoNativeArray) a);
        }
    }

    private TornadoNativeArray onDevice(Graph g, Object array) {
        TornadoNativeArray copy = memoryOf(g).get(array);
        if (copy == null)
            throw new TornadoRuntimeException("task graph " + g.name() + " has no copy of a " + describe(array));
        return copy;
    }

    private static void copy(TornadoNativeArray from, TornadoNativeArray to) {
        MemorySegment.copy(from.getSegment(), 0, to.getSegment(), 0, from.getNumBytesOfSegment());
    }

    private static String describe(Object array) {
        return array instanceof TornadoNativeArray a
                ? a.getClass().getSimpleName() + " of " + a.getSize() + " elements"
                : String.valueOf(array);
    }

    private static TornadoNativeArray like(TornadoNativeArray a) {
        int n = a.getSize();
        return switch (a) {
            case FloatArray _ -> new FloatArray(n);
            case IntArray _ -> new IntArray(n);
            case ShortArray _ -> new ShortArray(n);
            case ByteArray _ -> new ByteArray(n);
            case LongArray _ -> new LongArray(n);
            case DoubleArray _ -> new DoubleArray(n);
        };
    }

    /// Device memory is not cleared: NaN for floating-point arrays, a large negative value for integers.
    private static void fillWithGarbage(TornadoNativeArray a) {
        switch (a) {
            case FloatArray f -> f.init(Float.NaN);
            case IntArray i -> i.init(0x85858585);
            case ShortArray s -> s.init((short) 0x8585);
            case ByteArray b -> b.init((byte) 0x85);
            case LongArray l -> l.init(0x8585858585858585L);
            case DoubleArray d -> d.init(Double.NaN);
        }
    }
}
