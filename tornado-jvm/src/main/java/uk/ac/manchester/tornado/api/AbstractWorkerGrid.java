package uk.ac.manchester.tornado.api;

/// The sizes of a grid; the local size is one until it is set.
public abstract class AbstractWorkerGrid implements WorkerGrid {
    private long[] global;
    private long[] local = {1, 1, 1};

    protected AbstractWorkerGrid(long x, long y, long z) {
        global = new long[] {x, y, z};
    }

    @Override
    public long[] getGlobalWork() {
        return global.clone();
    }

    @Override
    public long[] getLocalWork() {
        return local.clone();
    }

    @Override
    public void setGlobalWork(long x, long y, long z) {
        global = new long[] {x, y, z};
    }

    @Override
    public void setLocalWork(long x, long y, long z) {
        local = new long[] {x, y, z};
    }
}
