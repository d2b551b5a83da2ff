package dev.gyre.trainer.loop;

import dev.gyre.dist.Collective;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/// How long a worker waits for the others before it takes one of them for hanging: many times what their steps, or what
/// lies between two steps, have taken so far.
final class Patience {
    /// How many times as long as usual.
    private static final double TIMES = 20;
    /// Seconds at least within a step, and between two: evaluation, answers and checkpoints, some of which only the first
    /// worker computes.
    private static final double STEP = 60;
    private static final double BETWEEN = 900;
    /// Replaces both, in seconds; for tests and for the impatient.
    private static final String SECONDS = "gyre.dist.patience";
    private static final int KEPT = 64;

    private final List<Double> steps = new ArrayList<>();
    private double between;
    private long ended;

    private static double least(double seconds) {
        return Double.parseDouble(System.getProperty(SECONDS, Double.toString(seconds)));
    }

    /// A step took so long; what follows may take longer.
    void step(Collective workers, double seconds) {
        steps.add(seconds);
        if (steps.size() > KEPT)
            steps.removeFirst();
        ended = System.nanoTime();
        workers.patience(Math.max(least(BETWEEN), TIMES * Math.max(between, median())));
    }

    /// The next step begins.
    void between(Collective workers) {
        if (ended != 0)
            between = Math.max(between, (System.nanoTime() - ended) / 1e9);
        if (!steps.isEmpty()) // the first step compiles
            workers.patience(Math.max(least(STEP), TIMES * median()));
    }

    private double median() {
        List<Double> sorted = new ArrayList<>(steps);
        Collections.sort(sorted);
        return sorted.isEmpty() ? 0 : sorted.get(sorted.size() / 2);
    }
}
