package uk.ac.manchester.tornado.api;

import dev.gyre.tornadojvm.Executor;

/// The results of one execution, on the device.
public class TornadoExecutionResult {
    private final Executor executor;

    TornadoExecutionResult(Executor executor) {
        this.executor = executor;
    }

    /// Copies arrays that the graph lists in `transferToHost` back to the host.
    public TornadoExecutionResult transferToHost(Object... objects) {
        executor.transferToHost(objects);
        return this;
    }

    public boolean isReady() {
        return true;
    }
}
