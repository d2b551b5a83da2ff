package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.loop.NumericException;
import dev.gyre.trainer.loop.TrainListener;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.LongToDoubleFunction;

/// Learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", 3.3): the run's own steps,
/// with a learning rate that grows from step to step by the same factor, until the loss climbs away. Nothing is written.
public final class LrFinder {
    /// Width in steps of the bell curve over which losses are averaged, as a share of the ramp.
    private static final double WIDTH = 0.04;
    /// The test ends when the averaged loss has climbed back by this share of what it had fallen, and by this many times
    /// what the losses of two steps differ by.
    private static final double CLIMBED = 0.15;
    private static final double NOISE = 1.5;
    /// Steps before that is asked.
    private static final int EARLIEST = 20;

    private LrFinder() {
    }

    /// A step of the test.
    ///
    /// @param smooth loss averaged over the steps before and after
    public record Point(double lr, double loss, double smooth) {
    }

    /// @param steepest learning rate at which the averaged loss falls fastest, by factor of the learning rate: the one to
    /// try; NaN where the loss never fell
    /// @param lowest learning rate at which it is lowest: too high for a run
    /// @param climbed whether the loss climbed again before the ramp ended
    public record Found(List<Point> points, double steepest, double lowest, boolean climbed) {
    }

    /// Takes the steps of a run without validation, and writes nothing.
    public interface Ramp {
        /// @param steps how many, however often that takes the data
        /// @param lr learning rate of each
        /// @param stop asked after each step
        void run(int steps, LongToDoubleFunction lr, List<TrainListener> listeners, BooleanSupplier stop);
    }

    /// The test on a run of a language model.
    ///
    /// @param from learning rate of the first step
    /// @param to learning rate of the last step
    /// @param seen called after each step
    public static Found find(RunConfig c, Backend backend, int steps, double from, double to,
            Consumer<TrainListener.Step> seen) {
        return find((n, lr, listeners, stop) -> FineTuning.ramp(c, backend, n, lr, listeners, stop), steps, from, to,
                seen);
    }

    /// @param from learning rate of the first step
    /// @param to learning rate of the last step
    /// @param seen called after each step
    public static Found find(Ramp ramp, int steps, double from, double to, Consumer<TrainListener.Step> seen) {
        if (steps < 10 || !(from > 0) || !(to > from))
            throw new InputException("a ramp of " + steps + " steps from a learning rate of " + from + " to "
                    + to + ": needs 10 steps at least, and rates that grow from above 0");
        List<TrainListener.Step> done = new ArrayList<>();
        Climb climb = new Climb();
        boolean[] climbed = {false};
        TrainListener watch = new TrainListener() {
            @Override
            public void onStep(Step s) {
                done.add(s);
                seen.accept(s);
                climbed[0] = climb.add(s.loss());
            }
        };
        try {
            ramp.run(steps, t -> from * Math.pow(to / from, (t - 1) / (steps - 1.0)),
                    List.of(watch), () -> climbed[0]);
        } catch (NumericException e) {
            climbed[0] = true;
            if (done.isEmpty())
                throw e;
        }
        return of(done.stream().mapToDouble(TrainListener.Step::lr).toArray(),
                done.stream().mapToDouble(TrainListener.Step::loss).toArray(), WIDTH * steps, climbed[0]);
    }

    /// Sees a loss climb, through the noise of batches.
    static final class Climb {
        private static final double KEPT = 0.9;

        private int n;
        private double sum;
        private double weight;
        private double first;
        private double last;
        private double differences;
        private double least = Double.POSITIVE_INFINITY;

        /// @return whether the loss climbs again
        boolean add(double loss) {
            if (n == 0)
                first = loss;
            else
                differences += Math.abs(loss - last);
            last = loss;
            n++;
            sum = KEPT * sum + (1 - KEPT) * loss;
            weight = KEPT * weight + 1 - KEPT;
            double mean = sum / weight;
            if (n < EARLIEST)
                return false;
            least = Math.min(least, mean);
            return mean > least + Math.max(NOISE * differences / (n - 1), CLIMBED * (first - least));
        }
    }

    /// What a ramp says.
    ///
    /// @param width of the bell curve, in steps
    static Found of(double[] lr, double[] loss, double width, boolean climbed) {
        int n = lr.length;
        List<Point> points = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            double sum = 0;
            double weights = 0;
            for (int j = 0; j < n; j++) {
                double w = Math.exp(-0.5 * Math.pow((j - i) / width, 2));
                sum += w * loss[j];
                weights += w;
            }
            points.add(new Point(lr[i], loss[i], sum / weights));
        }
        int lowest = 0;
        for (int i = 1; i < n; i++)
            if (points.get(i).smooth < points.get(lowest).smooth)
                lowest = i;
        double steepest = Double.NaN;
        double slope = 0;
        for (int i = 1; i < lowest; i++) {
            double s = points.get(i + 1).smooth - points.get(i - 1).smooth;
            if (s < slope) {
                slope = s;
                steepest = lr[i];
            }
        }
        return new Found(points, steepest, lr[lowest], climbed);
    }
}
