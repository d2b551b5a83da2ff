package dev.gyre.kernels.tornado;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.WorkerGrid2D;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// Collects the tasks of a session's programs and builds task graphs from them, so that each kernel is compiled once for all
/// tasks that need the same code, and each graph is built once for all parts of the programs that need the same graph.
///
/// TornadoVM compiles every scalar argument of a task into the code as a constant, and compiles each task separately unless
/// its plan has already compiled a task of the same graph name, task name and method. So all graphs share one name, and a
/// task is named after its kernel, its scalars and its grid: equal names mean equal code. Names must differ within a graph,
/// so the second and third task of a kernel in a graph have names of their own and are compiled once more each. A task that
/// reuses compiled code does not know its number of work items, so every task has a worker grid. TornadoVM always compiles
/// the last task of a graph; that is [ElementKernels#tick].
///
/// The offsets of buffers in their arrays differ from task to task. They are in one array of the session, `at`, which is
/// copied to the device with each graph: a task reads its offsets from element `slot` on, and `slot` is a constant that
/// belongs to the task's name. Hence two parts of a program whose tasks have the same names and arrays, such as two layers,
/// are one graph that is launched twice with different contents of `at`.
final class TaskGraphs extends TaskCalls {
    /// `n & ALL` is n. TornadoVM would replace a loop bound that is a bare parameter by the size of the worker grid (the first
    /// such parameter by its first dimension) and print a warning for each.
    static final int ALL = Integer.MAX_VALUE;

    static final int MAX_ITEMS = 1 << 30;

    private static final String NAME = "gyre";
    /// A task graph describes its tasks in 8192 bytes, 15 for each task and 5 for each argument; this many tasks of 20
    /// arguments fit, including the tick at the end.
    private static final int MAX_TASKS = 8192 / (15 + 5 * 20);
    /// Most tasks of one kernel in a graph. With 1 every kernel would be compiled only once, but graphs would be short, and
    /// each costs a launch and the compilation of its tick. A step of the shipped model takes 60 graphs and 42 kernels with
    /// 1, 20 graphs and 71 kernels with 3, 8 graphs and 147 kernels without a limit.
    private static final int MAX_USES = 3;

    /// Work items of a task along two dimensions, rounded up to whole work groups (OpenCL does not run a grid that is not a
    /// multiple of the local size, and reports no error). A group size of 0 leaves the choice to the driver.
    record Grid(int x, int y, int localX, int localY) {
        private WorkerGrid worker() {
            if (localX == 0)
                return y == 1 ? new WorkerGrid1D(x) : new WorkerGrid2D(x, y);
            WorkerGrid2D grid = new WorkerGrid2D(roundUp(x, localX), roundUp(y, localY));
            grid.setLocalWork(localX, localY, 1);
            return grid;
        }

        private static int roundUp(int n, int multiple) {
            return Math.ceilDiv(n, multiple) * multiple;
        }
    }

    /// A call of a native library. It reads its offsets when it is made, from the host's copy of `at`, as kernels do from the
    /// device's.
    interface LibraryCall {
        LibraryTaskDescriptor with(IntArray at, int slot);
    }

    /// A task but for its offsets.
    ///
    /// @param code the kernel's function, or a [LibraryCall]
    /// @param arguments those after `slot`
    private record Task(String id, int slot, Object code, boolean groups, Object[] arguments) {
    }

    /// A task graph that is not built yet.
    ///
    /// @param names of its tasks
    /// @param arrays that its tasks use
    record Graph(List<Task> tasks, Set<String> names, Set<TornadoNativeArray> arrays) {
        /// The graph, without the tick and without transfers other than that of `at`.
        private TaskGraph build(IntArray at) {
            TaskGraph g = new TaskGraph(NAME).transferToDevice(DataTransferMode.EVERY_EXECUTION, at);
            for (Task t : tasks)
                if (t.code instanceof LibraryCall call)
                    g.libraryTask(t.id, c -> c, call.with(at, t.slot));
                else {
                    List<Object> all = new ArrayList<>();
                    if (t.groups)
                        all.add(new KernelContext());
                    all.add(at);
                    all.add(t.slot);
                    all.addAll(Arrays.asList(t.arguments));
                    add(g, t.id, t.code, all.toArray());
                }
            return g;
        }
    }

    /// One execution of the graph of that number, with the offsets of its tasks.
    record Launch(int graph, int[] slots, int[][] offsets) {
        void fill(IntArray at) {
            for (int t = 0; t < slots.length; t++)
                for (int k = 0; k < offsets[t].length; k++)
                    at.set(slots[t] + k, offsets[t][k]);
        }
    }

    private final boolean collects;
    private final boolean replayed;
    private final GridScheduler grids = new GridScheduler();
    /// Number of each kernel with its constants.
    private final Map<List<Object>, Integer> kernels = new HashMap<>();
    private final Map<String, Integer> slots = new HashMap<>();
    private int atLength;
    private boolean hasGrids;
    private final Map<List<Object>, Integer> known = new HashMap<>();
    private final List<Graph> graphs = new ArrayList<>();
    private final Map<Object, Integer> numbers = new IdentityHashMap<>();
    private final List<Launch> launches = new ArrayList<>();
    /// The tasks of the current graph, their offsets, and how often it has each kernel.
    private final List<Task> tasks = new ArrayList<>();
    private final List<int[]> offsets = new ArrayList<>();
    private final Map<Integer, Integer> uses = new HashMap<>();
    private int maxUses = MAX_USES;

    /// @param collects false to keep no tasks, only to find out how much memory they need
    /// @param replayed whether graphs are recorded and replayed, with the addresses of library calls: then only parts that have
    ///        the same ones share a graph
    TaskGraphs(boolean collects, boolean replayed) {
        this.collects = collects;
        this.replayed = replayed;
    }

    GridScheduler grids() {
        return grids;
    }

    boolean hasGrids() {
        return hasGrids;
    }

    /// Elements of `at`.
    int atLength() {
        return Math.max(1, atLength);
    }

    /// The graphs of all programs so far.
    List<Graph> graphs() {
        return graphs;
    }

    /// The launch of the tasks that `adds` adds, which are one graph.
    Launch single(Runnable adds) {
        cut();
        maxUses = MAX_TASKS;
        adds.run();
        maxUses = MAX_USES;
        List<Launch> all = finish();
        if (all.size() != 1)
            throw new IllegalStateException(all.size() + " graphs where one was expected");
        return all.getFirst();
    }

    /// The launches of the tasks since the last call.
    List<Launch> finish() {
        cut();
        List<Launch> done = List.copyOf(launches);
        launches.clear();
        return done;
    }

    /// A graph of [#graphs] with its last task; the caller adds the transfers.
    static TaskGraph build(Graph graph, IntArray at, IntArray ticks) {
        return tick(graph.build(at), ticks);
    }

    /// A graph that copies `arrays` to the device and does nothing else: its only task counts its runs.
    static TaskGraph moving(Object[] arrays, IntArray ticks) {
        return tick(new TaskGraph(NAME).transferToDevice(DataTransferMode.EVERY_EXECUTION, arrays), ticks);
    }

    private static TaskGraph tick(TaskGraph graph, IntArray ticks) {
        return graph.task("tick", ElementKernels::tick, ticks);
    }

    /// One work item for each of `n`, or a million that take several each: TornadoVM makes a loop over work items one that steps by
    /// their number, in `int`, and i + n would overflow from 2^30 on.
    static Grid items(int n) {
        return new Grid(n <= MAX_ITEMS ? n : ElementTransferKernels.ITEMS, 1, 0, 0);
    }

    /// `x` by `y` work items, x running fastest.
    static Grid items(int x, int y) {
        return new Grid(x, y, 0, 0);
    }

    /// Ends the current graph; the next task begins another.
    void cut() {
        if (tasks.isEmpty())
            return;
        List<Object> key = new ArrayList<>();
        Set<String> names = new HashSet<>();
        Set<TornadoNativeArray> arrays = Collections.newSetFromMap(new IdentityHashMap<>());
        for (int i = 0; i < tasks.size(); i++) {
            Task t = tasks.get(i);
            key.add(t.id);
            if (replayed && t.code instanceof LibraryCall)
                key.add(Arrays.toString(offsets.get(i)));
            names.add(t.id);
            for (Object a : t.arguments)
                if (a instanceof TornadoNativeArray array) {
                    arrays.add(array);
                    key.add(numbers.computeIfAbsent(array, _ -> numbers.size()));
                }
        }
        Integer graph = known.get(key);
        if (graph == null) {
            graph = graphs.size();
            known.put(key, graph);
            graphs.add(new Graph(List.copyOf(tasks), names, arrays));
        }
        launches.add(new Launch(graph, tasks.stream().mapToInt(Task::slot).toArray(),
                offsets.toArray(int[][]::new)));
        tasks.clear();
        offsets.clear();
        uses.clear();
    }

    @Override
    void add(String kernel, Grid grid, boolean groups, Object code, int[] at, Object... arguments) {
        add(kernel, grid, new Task("", 0, code, groups, arguments), at);
    }

    /// A library call. It chooses its own grid.
    ///
    /// @param arguments its arrays, and the scalars that distinguish it from other calls of that name
    void library(String name, int[] at, LibraryCall call, Object... arguments) {
        add(name, null, new Task("", 0, call, false, arguments), at);
    }

    /// Names the task after its kernel, the number of this kernel with these constants, and its index among the equal tasks of
    /// the graph. Begins a new graph if the current one is full.
    private void add(String kernel, @Nullable Grid grid, Task task, int[] at) {
        if (!collects)
            return;
        List<Object> key = new ArrayList<>();
        Collections.addAll(key, kernel, grid, task.groups, at.length);
        for (Object a : task.arguments)
            key.add(a instanceof TornadoNativeArray ? a.getClass() : a);
        int number = kernels.computeIfAbsent(key, _ -> kernels.size());
        if (tasks.size() >= MAX_TASKS - 1 || uses.getOrDefault(number, 0) >= maxUses)
            cut();
        int use = uses.merge(number, 1, Integer::sum);
        String id = kernel + "_" + number + (use == 1 ? "" : "_" + use);
        Integer slot = slots.get(id);
        if (slot == null) {
            slot = atLength;
            slots.put(id, slot);
            atLength += at.length;
            if (grid != null) {
                grids.addWorkerGrid(NAME + "." + id, grid.worker());
                hasGrids = true;
            }
        }
        tasks.add(new Task(id, slot, task.code, task.groups, task.arguments));
        offsets.add(at);
    }
}
