package dev.gyre.trainer.loop;

import dev.gyre.dist.Collective;

/// How tasks are divided among workers: each has a row of neighbours.
final class Shares {
    private Shares() {
    }

    /// First of `n` tasks that worker `rank` does; of the number of workers, `n`.
    static int first(Collective workers, int rank, int n) {
        return (int) ((long) n * rank / workers.size());
    }

    /// `mine`, of which this worker knows its own part and the rest is 0, with the parts of all workers.
    static double[] gathered(Collective workers, double[] mine) {
        double[] all = new double[mine.length];
        double[][] of = workers.gather(mine);
        for (int r = 0; r < workers.size(); r++) {
            int low = first(workers, r, all.length);
            System.arraycopy(of[r], low, all, low, first(workers, r + 1, all.length) - low);
        }
        return all;
    }
}
