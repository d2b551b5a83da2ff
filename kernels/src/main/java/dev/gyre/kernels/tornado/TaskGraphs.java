package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Access;
import dev.gyre.kernels.Buf;
import dev.gyre.kernels.Op;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid2D;

/// Builds the task graphs of one program: names its tasks after their operation and its number in the program, keeps each
/// task's worker grid under the same name, rounded up to whole work groups (a grid that is no multiple of the local
/// size is dropped by OpenCL without an error), and begins a new graph before one is full.
final class TaskGraphs {
    /// A task graph describes its tasks in 8192 bytes, 15 and 5 for each argument; this many tasks of 20 arguments fit.
    private static final int MAX_TASKS = 8192 / (15 + 5 * 20);

    /// A part of the program that is one task graph, with the buffers that its operations touch.
    record Part(TaskGraph graph, Set<Buf> roots) {
    }

    private final String name;
    private final GridScheduler grids;
    private final List<Part> parts = new ArrayList<>();
    private final Set<String> used = new HashSet<>();
    private final Set<Buf> roots = new LinkedHashSet<>();
    private String operation = "";
    private int tasks;
    private boolean hasGrids;

    TaskGraphs(String name, GridScheduler grids) {
        this.name = name;
        this.grids = grids;
    }

    List<Part> parts() {
        return parts;
    }

    boolean hasGrids() {
        return hasGrids;
    }

    /// Tasks from here on belong to `op`, number `index`.
    void operation(Op op, int index) {
        operation = op.getClass().getSimpleName() + index;
        roots.clear();
        for (Access a : op.accesses())
            roots.add(a.buf().root());
    }

    /// The graph for the next task; ask for it before the task's name.
    TaskGraph graph() {
        if (parts.isEmpty() || tasks == MAX_TASKS) {
            parts.add(new Part(new TaskGraph(name + "_" + parts.size()), new LinkedHashSet<>()));
            tasks = 0;
        }
        return parts.getLast().graph();
    }

    /// A fresh task name such as `RmsNorm12_inverseRms`.
    String id(String kernel) {
        tasks++;
        parts.getLast().roots().addAll(roots);
        String id = operation + "_" + kernel;
        for (int i = 2; !used.add(id); i++)
            id = operation + "_" + kernel + i;
        return id;
    }

    /// Gives the task `id` at least `x` times `y` work items, in groups of `localX` times `localY`.
    String grid(String id, int x, int y, int localX, int localY) {
        WorkerGrid2D grid = new WorkerGrid2D(roundUp(x, localX), roundUp(y, localY));
        grid.setLocalWork(localX, localY, 1);
        hasGrids = true;
        grids.addWorkerGrid(parts.getLast().graph().getTaskGraphName() + "." + id, grid);
        return id;
    }

    private static int roundUp(int n, int multiple) {
        return Math.ceilDiv(n, multiple) * multiple;
    }
}
