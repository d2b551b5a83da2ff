package dev.gyre.kernels.tornado;

import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Op;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.WorkerGrid2D;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task10;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task11;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task12;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task13;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task14;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task16;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task17;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task18;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task3;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task4;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task5;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task6;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task7;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task8;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task9;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// Builds the task graphs of a session's programs so that each kernel is compiled once for all tasks that need the same code.
///
/// TornadoVM compiles every scalar argument of a task into the code as a constant, and compiles each task separately unless
/// its plan has already compiled a task of the same graph name, task name and method. So all graphs share one name, and a
/// task is named after its kernel, its scalars and its grid: equal names mean equal code. The offsets of buffers in their
/// arrays differ from task to task; they are passed in an array ([DeviceMemory#constants]) and not as scalars. Names must
/// differ within a graph, so the second and third task of a kernel in a graph have names of their own and are compiled
/// once more each. A task that reuses compiled code does not know its number of work items, so every task has a worker
/// grid. TornadoVM always compiles the last task of a graph; that is [ElementKernels#tick].
final class TaskGraphs {
    /// `n & ALL` is n. TornadoVM would replace a loop bound that is a bare parameter by the size of the worker grid (the first
    /// such parameter by its first dimension) and print a warning for each.
    static final int ALL = Integer.MAX_VALUE;

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

    /// A part of the program that is one task graph, with the buffers that its operations touch and the names of its tasks.
    record Part(TaskGraph graph, Set<Buf> roots, Set<String> names) {
    }

    private final @Nullable IntArray ticks;
    private final GridScheduler grids = new GridScheduler();
    /// Number of each kernel with its constants.
    private final Map<List<Object>, Integer> kernels = new HashMap<>();
    private final Set<String> named = new HashSet<>();
    private final List<Part> parts = new ArrayList<>();
    /// How often the current graph has each kernel.
    private final Map<Integer, Integer> uses = new HashMap<>();
    private final Set<Buf> roots = new LinkedHashSet<>();
    private int tasks = MAX_TASKS;
    private int calls;

    /// @param ticks the counter that the last task of each graph increments; null to build no graphs, only to find out how
    ///        much memory the tasks need
    TaskGraphs(@Nullable IntArray ticks) {
        this.ticks = ticks;
    }

    GridScheduler grids() {
        return grids;
    }

    boolean hasGrids() {
        return !named.isEmpty();
    }

    /// The graphs built since the last call; the next task begins a new one.
    List<Part> finish() {
        for (Part p : parts)
            tick(p.graph(), Objects.requireNonNull(ticks));
        List<Part> done = List.copyOf(parts);
        parts.clear();
        tasks = MAX_TASKS;
        return done;
    }

    /// A graph that copies `arrays` to the device and does nothing else: its only task counts its runs.
    static TaskGraph moving(Object[] arrays, IntArray ticks) {
        return tick(new TaskGraph(NAME).transferToDevice(DataTransferMode.EVERY_EXECUTION, arrays), ticks);
    }

    private static TaskGraph tick(TaskGraph graph, IntArray ticks) {
        return graph.task("tick", ElementKernels::tick, ticks);
    }

    /// Tasks from here on belong to `op`.
    void operation(Op op) {
        roots.clear();
        for (Access a : op.accesses())
            roots.add(a.buf().root());
    }

    static Grid items(int n) {
        return new Grid(n, 1, 0, 0);
    }

    /// `x` by `y` work items, x running fastest.
    static Grid items(int x, int y) {
        return new Grid(x, y, 0, 0);
    }

    /// The name of the next task: its kernel, the number of this kernel with these constants, and its index among the equal
    /// tasks of the graph. Begins a new graph if the current one is full.
    private String next(String kernel, Grid grid, Object... arguments) {
        List<Object> key = new ArrayList<>(List.of(kernel, grid));
        for (Object a : arguments)
            key.add(a instanceof TornadoNativeArray ? a.getClass() : a instanceof Number ? a : "context");
        int number = kernels.computeIfAbsent(key, _ -> kernels.size());
        if (++tasks >= MAX_TASKS || uses.getOrDefault(number, 0) >= MAX_USES)
            begin();
        int use = uses.merge(number, 1, Integer::sum);
        String id = kernel + "_" + number + (use == 1 ? "" : "_" + use);
        Part part = parts.getLast();
        part.roots().addAll(roots);
        part.names().add(id);
        if (named.add(id))
            grids.addWorkerGrid(NAME + "." + id, grid.worker());
        return id;
    }

    private void begin() {
        parts.add(new Part(new TaskGraph(NAME), new LinkedHashSet<>(), new HashSet<>()));
        tasks = 1;
        uses.clear();
    }

    private TaskGraph graph() {
        return parts.getLast().graph();
    }

    /// A library call. Nothing is compiled for it and it chooses its own grid, so each call has a name of its own.
    void library(Supplier<LibraryTaskDescriptor> call) {
        if (ticks == null)
            return;
        if (++tasks >= MAX_TASKS)
            begin();
        parts.getLast().roots().addAll(roots);
        graph().libraryTask("call_" + ++calls, c -> c, call.get());
    }

    private void add(String kernel, Grid grid, BiConsumer<TaskGraph, String> task, Object... arguments) {
        if (ticks != null) {
            String id = next(kernel, grid, arguments); // may begin a new graph
            task.accept(graph(), id);
        }
    }

    // one overload for each number of arguments that kernels have

    <A1, A2, A3> void task(String kernel, Grid grid, Task3<A1, A2, A3> code, A1 a1, A2 a2, A3 a3) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3), a1, a2, a3);
    }

    <A1, A2, A3, A4> void task(String kernel, Grid grid, Task4<A1, A2, A3, A4> code, A1 a1, A2 a2, A3 a3, A4 a4) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4), a1, a2, a3, a4);
    }

    <A1, A2, A3, A4, A5> void task(String kernel, Grid grid, Task5<A1, A2, A3, A4, A5> code, A1 a1, A2 a2, A3 a3,
            A4 a4, A5 a5) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5), a1, a2, a3, a4, a5);
    }

    <A1, A2, A3, A4, A5, A6> void task(String kernel, Grid grid, Task6<A1, A2, A3, A4, A5, A6> code, A1 a1, A2 a2,
            A3 a3, A4 a4, A5 a5, A6 a6) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6), a1, a2, a3, a4, a5, a6);
    }

    <A1, A2, A3, A4, A5, A6, A7> void task(String kernel, Grid grid, Task7<A1, A2, A3, A4, A5, A6, A7> code, A1 a1,
            A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7), a1, a2, a3, a4, a5, a6, a7);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8> void task(String kernel, Grid grid, Task8<A1, A2, A3, A4, A5, A6, A7, A8> code,
            A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8), a1, a2, a3, a4, a5, a6, a7, a8);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9> void task(String kernel, Grid grid,
            Task9<A1, A2, A3, A4, A5, A6, A7, A8, A9> code, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8,
            A9 a9) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9), a1, a2, a3, a4, a5, a6, a7,
                a8, a9);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10> void task(String kernel, Grid grid,
            Task10<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10> code, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7,
            A8 a8, A9 a9, A10 a10) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10), a1, a2, a3, a4, a5, a6,
                a7, a8, a9, a10);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11> void task(String kernel, Grid grid,
            Task11<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11> code, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7,
            A8 a8, A9 a9, A10 a10,
            A11 a11) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11), a1, a2, a3, a4, a5,
                a6, a7, a8, a9, a10, a11);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12> void task(String kernel, Grid grid,
            Task12<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12> code, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6,
            A7 a7, A8 a8, A9 a9,
            A10 a10, A11 a11, A12 a12) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12), a1, a2, a3,
                a4, a5, a6, a7, a8, a9, a10, a11, a12);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13> void task(String kernel, Grid grid,
            Task13<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13> code, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5,
            A6 a6, A7 a7, A8 a8,
            A9 a9, A10 a10, A11 a11, A12 a12, A13 a13) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13), a1, a2,
                a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14> void task(String kernel, Grid grid,
            Task14<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14> code, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5,
            A6 a6,
            A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13, A14 a14) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14), a1,
                a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16> void task(String kernel, Grid grid,
            Task16<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16> code, A1 a1, A2 a2, A3 a3,
            A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13, A14 a14, A15 a15, A16 a16) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15,
                a16), a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17> void task(String kernel, Grid grid,
            Task17<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17> code, A1 a1, A2 a2,
            A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13, A14 a14, A15 a15,
            A16 a16, A17 a17) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15,
                a16, a17), a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17);
    }

    <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17, A18> void task(String kernel,
            Grid grid, Task18<A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17, A18> code,
            A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14, A15 a15, A16 a16, A17 a17, A18 a18) {
        add(kernel, grid, (g, id) -> g.task(id, code, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15,
                a16, a17, a18), a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18);
    }
}
