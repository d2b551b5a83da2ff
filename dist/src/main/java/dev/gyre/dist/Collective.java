package dev.gyre.dist;

/// The workers of one run, each of which holds the whole model and computes a part of every step. All workers call the
/// same methods in the same order; a call returns when every worker has made it. One thread of each worker calls them.
///
/// Sums have a fixed order, so that the number of workers does not change a bit: the vectors of 2^k workers are added
/// pairwise, neighbours first: `((v0 + v1) + (v2 + v3)) + ...`. Any other number adds the halves of the workers, the first
/// half being the smaller one, which is another order than that of one worker.
public interface Collective extends AutoCloseable {
    /// Number of this worker, from 0. Worker 0 writes the run directory and the screen.
    int rank();

    /// Number of workers.
    int size();

    /// Replaces `values`, equally long on all workers, by the sum over all workers: the same bits everywhere.
    void sum(float[] values);

    /// What every worker gave, by rank.
    ///
    /// @param mine equally long on all workers
    double[][] gather(double... mine);

    /// Replaces `values`, equally long on all workers, by those of worker 0.
    void broadcast(float[] values);

    /// The bytes that worker 0 gave; what the others give is not looked at.
    byte[] broadcast(byte[] values);

    /// Whether some worker says so.
    default boolean any(boolean mine) {
        for (double[] d : gather(mine ? 1 : 0))
            if (d[0] != 0)
                return true;
        return false;
    }

    /// How long an exchange may take from now on before this worker takes another one for hanging and ends all.
    default void patience(double seconds) {
    }

    /// Ends all workers because this one cannot go on. With MPI this does not return.
    ///
    /// @param reason one line; this worker has shown it already
    /// @param status with which the processes end
    void abort(String reason, int status);

    /// Seconds since the start that this worker has spent in [#sum].
    double exchanging();

    /// Seconds since the start that this worker has spent in all other calls, which is waiting for the slowest one.
    double waiting();

    /// Who adds and with what, for the provenance of a run: `2 workers, Open MPI v4.1.4`.
    String describe();

    /// Leaves. Worker 0 may go on alone afterwards.
    @Override
    void close();
}
