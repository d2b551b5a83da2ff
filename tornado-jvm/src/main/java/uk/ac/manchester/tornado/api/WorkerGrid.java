package uk.ac.manchester.tornado.api;

/// How many work items run a task, in total and per work group, in up to three dimensions.
public interface WorkerGrid {
    int dimension();

    long[] getGlobalWork();

    long[] getLocalWork();

    void setGlobalWork(long x, long y, long z);

    void setLocalWork(long x, long y, long z);
}
