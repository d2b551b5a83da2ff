package dev.gyre.trainer.loop;

import dev.gyre.kernels.Session;
import dev.gyre.model.adapter.Geometry;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Watches a run. Everything is called from the training thread.
public interface TrainListener {
    /// One optimiser step.
    ///
    /// @param t its number, from 1
    /// @param loss mean over what counts in it, before the update
    /// @param gradNorm before clipping
    /// @param trained tokens (or rows, or pairs) that counted in the loss
    /// @param tokens places in the rows, padding included
    /// @param epoch passes over the data, with the fraction of the current one
    record Step(long t, double loss, double gradNorm, double lr, long trained, long tokens, double epoch,
            double seconds) {
    }

    /// @param best whether it is the lowest so far
    /// @param also losses on the further validation sets, by name
    /// @param scores other measures of the same examples, such as accuracy, by name
    record Evaluation(long t, double loss, long trained, boolean best, double seconds, Map<String, Double> also,
            Map<String, Double> scores) {
        /// Without scores.
        public Evaluation(long t, double loss, long trained, boolean best, double seconds, Map<String, Double> also) {
            this(t, loss, trained, best, seconds, also, Map.of());
        }
    }

    /// Rotation metrics after step `t`, module by module; reported every few steps, never empty.
    record Rotations(long t, List<Geometry> modules) {
        /// Largest spectral norm of a skew block: at 1 Cayley-Neumann of five terms loses rank.
        public Geometry worst() {
            return modules.stream().max(Comparator.comparingDouble(Geometry::skewNorm)).orElseThrow();
        }

        public double defect() {
            return modules.stream().mapToDouble(Geometry::defect).max().orElse(0);
        }

        public double angle() {
            return modules.stream().mapToDouble(Geometry::angle).max().orElse(0);
        }
    }

    /// A task, its right answer, and what the model answers.
    record Sample(String prompt, String expected, String answer) {
        public boolean isRight() {
            return answer.equals(expected);
        }
    }

    /// Held-out tasks answered greedily after step `t`, just after its evaluation.
    record Samples(long t, List<Sample> all, double seconds) {
        public long right() {
            return all.stream().filter(Sample::isRight).count();
        }
    }

    default void onSamples(Samples samples) {
    }

    default void onRotations(Rotations r) {
    }

    /// The first step was computed on the CPU as well and is the same; `seconds` of the device with compiling.
    default void onDeviceCheck(String text, double seconds, double cpuSeconds) {
    }

    /// The first step is not compared with the CPU, and why.
    default void onNoDeviceCheck(String why) {
    }

    /// A device has run its first step, and for that compiled its kernels.
    default void onCompiled(Session.Compiled c) {
    }

    default void onStep(Step step) {
    }

    default void onEvaluation(Evaluation evaluation) {
    }

    /// @param best whether it holds the lowest validation loss so far
    default void onCheckpoint(long t, Path where, boolean best) {
    }

    /// After everything that belongs to step `t`: its update, its evaluation, its checkpoint.
    default void onStepEnd(long t) {
    }

    /// What a worker did with its time, in seconds: computing, adding gradients, waiting for other workers.
    record Work(double computing, double exchanging, double waiting) {
    }

    /// Before the end of a run of several workers, all of them by rank.
    default void onWorkers(List<Work> all) {
    }

    /// Once, however the loop ended; `failure` is null unless it threw.
    default void onEnd(long t, @Nullable Throwable failure) {
    }
}
