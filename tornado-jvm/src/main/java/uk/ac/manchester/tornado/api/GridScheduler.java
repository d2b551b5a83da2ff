package uk.ac.manchester.tornado.api;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Grids by "graph.task".
public class GridScheduler {
    private final Map<String, WorkerGrid> grids = new HashMap<>();

    public GridScheduler() {
    }

    public GridScheduler(String taskName, WorkerGrid workerGrid) {
        addWorkerGrid(taskName, workerGrid);
    }

    public void addWorkerGrid(String taskName, WorkerGrid workerGrid) {
        grids.put(taskName, workerGrid);
    }

    public @Nullable WorkerGrid get(String taskName) {
        return grids.get(taskName);
    }
}
