package dev.gyre.kernels.tornado;

import java.util.HashSet;
import java.util.Set;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid2D;

/// Builds one task graph: names its tasks after their operation and its number in the program, and keeps each task's worker
/// grid under the same name, rounded up to whole work groups (a grid that is no multiple of the local size is dropped
/// by OpenCL without an error).
final class TaskGraphs {
    private final TaskGraph graph;
    private final GridScheduler grids;
    private final Set<String> used = new HashSet<>();
    private String operation = "";
    private boolean hasGrids;

    TaskGraphs(String name, GridScheduler grids) {
        this.graph = new TaskGraph(name);
        this.grids = grids;
    }

    TaskGraph graph() {
        return graph;
    }

    boolean hasGrids() {
        return hasGrids;
    }

    /// Tasks from here on belong to operation `name`, number `index`.
    void operation(String name, int index) {
        operation = name + index;
    }

    /// A fresh task name such as `RmsNorm12_inverseRms`.
    String id(String kernel) {
        String id = operation + "_" + kernel;
        for (int i = 2; !used.add(id); i++)
            id = operation + "_" + kernel + i;
        return id;
    }

    /// Gives the task `id` at least `x` times `y` work items, in groups of `localX` times `localY`.
    String grid(String id, int x, int y, int localX, int localY) {
        WorkerGrid2D grid = new WorkerGrid2D(roundUp(x, localX), roundUp(y, localY));
        hasGrids = true;
        grid.setLocalWork(localX, localY, 1);
        grids.addWorkerGrid(graph.getTaskGraphName() + "." + id, grid);
        return id;
    }

    private static int roundUp(int n, int multiple) {
        return Math.ceilDiv(n, multiple) * multiple;
    }
}
