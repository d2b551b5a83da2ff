package uk.ac.manchester.tornado.api;

import dev.gyre.tornadojvm.Executor;
import dev.gyre.tornadojvm.JvmRuntime;
import java.util.Arrays;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.exceptions.TornadoExecutionPlanException;

/// Task graphs that share a device; all of them run with [#execute], or the one that [#withGraph] picks.
public class TornadoExecutionPlan implements AutoCloseable {
    private final Executor executor;

    public TornadoExecutionPlan(ImmutableTaskGraph... immutableTaskGraphs) {
        executor = new Executor(Arrays.stream(immutableTaskGraphs).map(ImmutableTaskGraph::graph).toList());
    }

    public static TornadoDevice getDevice(int driverIndex, int deviceIndex) {
        return JvmRuntime.INSTANCE.getBackend(driverIndex).getDevice(deviceIndex);
    }

    public TornadoExecutionPlan withGraph(int graphIndex) {
        executor.select(graphIndex);
        return this;
    }

    public TornadoExecutionPlan withAllGraphs() {
        executor.selectAll();
        return this;
    }

    public TornadoExecutionPlan withGridScheduler(GridScheduler gridScheduler) {
        executor.grids(gridScheduler);
        return this;
    }

    public TornadoExecutionPlan withDevice(TornadoDevice device) {
        return this;
    }

    /// Records the work of a graph and replays it; here it is executed each time, with the same result.
    public TornadoExecutionPlan withCUDAGraph() {
        return this;
    }

    public TornadoExecutionResult execute() {
        executor.execute();
        return new TornadoExecutionResult(executor);
    }

    public TornadoExecutionPlan freeDeviceMemory() {
        executor.free();
        return this;
    }

    @Override
    public void close() throws TornadoExecutionPlanException {
        executor.free();
    }
}
