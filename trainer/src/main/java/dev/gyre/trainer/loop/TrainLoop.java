package dev.gyre.trainer.loop;

import dev.gyre.dist.Alone;
import dev.gyre.dist.Collective;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.data.BatchStream.Micro;
import dev.gyre.trainer.data.RunData;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.LongToDoubleFunction;
import java.util.stream.DoubleStream;
import org.jspecify.annotations.Nullable;

/// The training loop. A step sums the losses of its micro-batches and divides once by their trained tokens, so that eight
/// micro-batches of one row give the gradient of one micro-batch of eight rows, however long the answers are.
///
/// The gradients of a step's micro-batches are summed in a binary tree by their index: those of the first half, those of
/// the second half, and the sum of both. N workers compute an N-th of the micro-batches each, one after the other; where N
/// is a power of two that divides their number, a worker's part is a branch of the tree, and [Collective] adds the branches
/// as one worker would. Losses are gathered and added in the order of the micro-batches. So N workers take the steps of
/// one, bit for bit. All see the same losses, so all stop, find a best loss or give up in the same step; only the first
/// one saves and has listeners.
///
/// The state of a run is (step, place in the data, parameters and moments, draws of dropout, best so far): a checkpoint
/// holds exactly that, so a resumed run is the run that was never stopped.
///
/// Where batches come from, what is trained on them and how it is measured are the caller's: a [BatchStream], a [Trainable] and
/// a [Validation] of one kind of batch.
///
/// @param <B> a micro-batch
public final class TrainLoop<B> {
    /// Rotation metrics are computed every so many steps, because reading parameters back is not free.
    private static final int GEOMETRY_EVERY = 10;
    /// Steps over which the loss is averaged to see whether it diverges.
    private static final int AVERAGED = 20;
    /// Steps in a row with gradients of exactly 0, at a loss that should have some, after which nothing is learnt any more.
    private static final int MOST_ZERO_GRADIENTS = 5;
    private static final double LEARNT = 1e-4;
    /// `||R^T R - I||` above which R is no rotation any more.
    private static final double MOST_DEFECT = 1;

    private final Trainable<B> trained;
    private final BatchStream<B> batches;
    private final @Nullable Validation validation;
    private final RunConfig.Train train;
    private final long steps;
    private LongToDoubleFunction lr;
    private int evalEvery;
    private int patience;
    private @Nullable Saver saver;
    private int saveEvery;
    private List<TrainListener> listeners = List.of();
    private BooleanSupplier stop = () -> false;
    private Collective workers = Alone.INSTANCE;
    private final Patience wait = new Patience();

    private long t;
    private double best = Double.POSITIVE_INFINITY;
    private long bestStep;
    private double lastLoss = Double.NaN;
    /// Losses of the last steps, oldest first; what diverging is measured by.
    private final ArrayDeque<Double> recent = new ArrayDeque<>();
    private double lowest = Double.POSITIVE_INFINITY;
    private int zeroGradients;

    /// Where checkpoints go.
    public interface Saver {
        /// Steps between checkpoints; 0: only at the end.
        int every();

        /// Writes a checkpoint and deletes what need not be kept.
        Path save(Checkpoint checkpoint);
    }

    /// A loop that follows the configured schedule and evaluates once, at its end. It saves nothing and has no listeners.
    ///
    /// @param steps of the whole run
    /// @param validation null where there is nothing to evaluate on
    public TrainLoop(Trainable<B> trained, BatchStream<B> batches, long steps, @Nullable Validation validation,
            RunConfig.Train train) {
        this.trained = trained;
        this.batches = batches;
        this.validation = validation;
        this.train = train;
        this.steps = steps;
        this.lr = LrSchedule.of(train, steps)::at;
    }

    /// A loop over all steps of a language model's data, evaluated by its mean loss.
    public static TrainLoop<Batch> of(Trainable<Batch> trained, RunData data, RunConfig.Train train) {
        return new TrainLoop<>(trained, data.batches(), data.steps(), MeanLoss.of(trained, data), train);
    }

    /// @param rate learning rate of a step, counted from 1
    public TrainLoop<B> learningRate(LongToDoubleFunction rate) {
        lr = rate;
        return this;
    }

    /// @param every steps between evaluations; 0: only at the end
    /// @param evaluations without a new best after which the run ends; 0: never
    public TrainLoop<B> evaluating(int every, int evaluations) {
        evalEvery = validation == null ? 0 : every;
        patience = evaluations;
        return this;
    }

    public TrainLoop<B> saving(Saver where) {
        saver = where;
        saveEvery = where.every();
        return this;
    }

    /// As [#saving(Saver)] on a worker that does not save: it takes part in what is done before that.
    ///
    /// @param every steps between checkpoints; 0: only at the end
    public TrainLoop<B> saving(int every) {
        saveEvery = every;
        return this;
    }

    public TrainLoop<B> listening(List<TrainListener> all) {
        listeners = List.copyOf(all);
        return this;
    }

    /// @param when asked after every step; true ends the run with a checkpoint
    public TrainLoop<B> stopping(BooleanSupplier when) {
        stop = when;
        return this;
    }

    /// @param all the workers of this run, of which each has such a loop over the same data
    public TrainLoop<B> with(Collective all) {
        workers = all;
        return this;
    }

    /// Continues from a checkpoint.
    public TrainLoop<B> resume(Checkpoint c) {
        t = c.step();
        best = c.bestLoss() == null ? Double.POSITIVE_INFINITY : c.bestLoss();
        bestStep = c.bestStep();
        recent.clear();
        recent.addAll(c.watch().recent());
        lowest = c.watch().lowest() == null ? Double.POSITIVE_INFINITY : c.watch().lowest();
        zeroGradients = c.watch().zeroGradients();
        batches.seek(c.position());
        trained.restore(c.state(), c.draws());
        return this;
    }

    /// How a run ended.
    ///
    /// @param finished false when it was asked to stop before its last step
    /// @param early whether it ended before its last step because the validation loss no longer fell
    /// @param loss of the last step; NaN when none ran
    /// @param bestLoss lowest validation loss, null without validation
    /// @param saved the last checkpoint, null when nothing ran
    public record Result(long step, boolean finished, boolean early, double loss, @Nullable Double bestLoss,
            long bestStep,
            @Nullable Path saved) {
    }

    public Result run() {
        Path saved = null;
        Throwable failure = null;
        try {
            long begun = System.nanoTime();
            boolean stopping = workers.any(stop.getAsBoolean());
            boolean early = exhausted();
            while (t < steps && !stopping && !early) {
                wait.between(workers);
                step();
                boolean last = t == steps;
                boolean better =
                        validation != null && (last || evalEvery > 0 && t % evalEvery == 0) && evaluate(validation);
                boolean due = isDue();
                stopping = workers.any(stop.getAsBoolean());
                early = !last && exhausted();
                // before the checkpoint: what a killed run goes on after has been told, and what is saved is sound
                if (last || t == 1 || t % GEOMETRY_EVERY == 0 || better || due)
                    tellRotations();
                if (last || better || due || stopping || early)
                    saved = save(better);
                tell(l -> l.onStepEnd(t));
            }
            tellWorkers((System.nanoTime() - begun) / 1e9);
            // a run resumed past its last step, because it was made shorter, is done as well
            return new Result(t, t >= steps || early, early, lastLoss, bestStep == 0 ? null : best, bestStep, saved);
        } catch (RuntimeException | Error e) {
            failure = e;
            throw e;
        } finally {
            Throwable f = failure;
            tell(l -> l.onEnd(t, f));
        }
    }

    private void step() {
        long start = System.nanoTime();
        List<Micro<B>> micros = batches.next(train.accumulate());
        long targets = micros.stream().mapToLong(Micro::trained).sum();
        long next = t + 1;
        double sum = 0;
        double[] losses = gradients(micros, 1f / targets);
        for (int i = 0; i < micros.size(); i++) {
            Micro<B> m = micros.get(i);
            if (!Double.isFinite(losses[i]))
                throw new NumericException("step " + next + ": the loss is " + losses[i] + " in micro-batch " + (i + 1)
                        + " of " + micros.size() + " (" + batches.describe(m) + ")" + culprit(m, 1f / targets) + "; "
                        + remedy());
            sum += losses[i];
        }
        double rate = lr.applyAsDouble(next);
        double norm = trained.update(new AdamWStep(next, (float) rate, (float) train.beta1(), (float) train.beta2(),
                (float) train.eps(), (float) train.weightDecay(), (float) train.clip()));
        if (!Double.isFinite(norm))
            throw new NumericException("step " + next + ": the gradient norm is " + norm + " (" + inBackward(micros,
                    1f / targets) + "; " + remedy());
        t = next;
        lastLoss = sum / targets;
        long tokens = micros.stream().mapToLong(Micro::places).sum();
        double seconds = (System.nanoTime() - start) / 1e9;
        TrainListener.Step s = new TrainListener.Step(t, lastLoss, norm, rate, targets, tokens, batches.epochsDone(),
                seconds);
        tell(l -> l.onStep(s));
        wait.step(workers, seconds);
        if (targets > 0)
            watch(norm);
    }

    /// Sums the gradients of a step, over all workers.
    ///
    /// @return the loss of each micro-batch; after one that is not finite, 0 for the others of the same worker
    private double[] gradients(List<Micro<B>> micros, float scale) {
        int n = micros.size();
        int low = Shares.first(workers, workers.rank(), n);
        int high = Shares.first(workers, workers.rank() + 1, n);
        long before = trained.draws();
        double[] losses = new double[n];
        boolean sound = branch(micros, low, high, 0, before, scale, losses);
        long drawing = micros.stream().filter(m -> m.trained() > 0).count();
        if (sound)
            trained.draws(before + drawing);
        if (workers.size() == 1)
            return losses;
        double[] all = Shares.gathered(workers, losses);
        // a worker whose loss is not finite has stopped summing: nothing is exchanged, all throw
        if (DoubleStream.of(all).allMatch(Double::isFinite)) {
            float[] g = trained.gradientSum();
            workers.sum(g);
            trained.gradientSum(g);
        }
        return all;
    }

    /// Adds the gradients of micro-batches `low` to `high` to gradients that are zero, both halves by themselves. A
    /// micro-batch without trained tokens has a gradient of zeros, which is added like any other.
    ///
    /// @return false when a loss was not finite
    private boolean branch(List<Micro<B>> micros, int low, int high, int level, long draws, float scale,
            double[] losses) {
        if (high - low == 1) {
            Micro<B> m = micros.get(low);
            if (m.trained() == 0)
                return true;
            trained.draws(draws + micros.subList(0, low).stream().filter(b -> b.trained() > 0).count());
            losses[low] = trained.microBatch(m.batch(), scale);
            return Double.isFinite(losses[low]);
        }
        int middle = (low + high) >>> 1;
        if (!branch(micros, low, middle, level + 1, draws, scale, losses))
            return false;
        trained.hold(level);
        if (!branch(micros, middle, high, level + 1, draws, scale, losses))
            return false;
        trained.addHeld(level);
        return true;
    }

    /// The operation whose result was the first that is not finite, if the backend can tell.
    private String culprit(Micro<B> m, float scale) {
        String op = trained.culprit(m.batch(), scale);
        return op == null ? "" : "; the first result that is not finite comes from " + op;
    }

    /// The parameters are still those of the step's beginning: each micro-batch is looked at again.
    private String inBackward(List<Micro<B>> micros, float scale) {
        for (Micro<B> m : micros) {
            String found = m.trained() == 0 ? "" : culprit(m, scale);
            if (!found.isEmpty())
                return batches.describe(m) + ")" + found;
        }
        return "first micro-batch: " + batches.describe(micros.getFirst()) + ")";
    }

    /// Stops a run whose loss climbs away from where it was, or that learns nothing any more.
    private void watch(double norm) {
        zeroGradients = norm == 0 && lastLoss > LEARNT ? zeroGradients + 1 : 0;
        if (zeroGradients >= MOST_ZERO_GRADIENTS)
            throw new NumericException(String.format(Locale.ROOT,
                    "step %d: the gradients of the last %d steps are exactly 0 at a loss of %.4f: the model is destroyed"
                            + " and learns nothing; %s",
                    t, zeroGradients, lastLoss, remedy()));
        recent.add(lastLoss);
        if (recent.size() > AVERAGED)
            recent.remove();
        if (recent.size() < AVERAGED || train.divergence() == 0)
            return;
        double mean = 0;
        for (double l : recent)
            mean += l / AVERAGED;
        lowest = Math.min(lowest, mean);
        if (mean > lowest + train.divergence())
            throw new NumericException(String.format(Locale.ROOT,
                    "step %d: the loss diverges: %.4f averaged over %d steps, %.4f at its lowest (train.divergence %s); %s",
                    t, mean, AVERAGED, lowest, train.divergence(), remedy()));
    }

    /// Whether the validation loss has had no new best for as many evaluations as the run is patient. Follows from the
    /// step alone, so a resumed run stops where the whole one does.
    private boolean exhausted() {
        return patience > 0 && evalEvery > 0 && bestStep > 0 && t > 0 && t % evalEvery == 0
                && t - bestStep >= (long) patience * evalEvery;
    }

    private String remedy() {
        return "lower train.lr (now " + (float) train.lr()
                + ") or train.clip, or look at these examples; checkpoints saved"
                + " before are good";
    }

    private boolean evaluate(Validation on) {
        long start = System.nanoTime();
        Validation.Measured m = on.measure(workers);
        double loss = m.loss();
        if (!Double.isFinite(loss))
            throw new NumericException("step " + t + ": the validation loss is " + loss + "; " + remedy());
        boolean better = loss < best;
        if (better) {
            best = loss;
            bestStep = t;
        }
        TrainListener.Evaluation e = new TrainListener.Evaluation(t, loss, m.counted(), better,
                (System.nanoTime() - start) / 1e9, m.also(), m.scores());
        tell(l -> l.onEvaluation(e));
        return better;
    }

    private boolean isDue() {
        return saveEvery > 0 && t % saveEvery == 0;
    }

    private @Nullable Path save(boolean better) {
        if (saver == null && workers.size() == 1)
            return null;
        TrainState state = trained.state();
        requireEqual(state.params());
        if (saver == null)
            return null;
        Path where = saver.save(new Checkpoint(t, batches.position(), bestStep == 0 ? null : best, bestStep,
                trained.draws(), new Checkpoint.Watch(List.copyOf(recent), Double.isInfinite(lowest) ? null : lowest,
                        zeroGradients),
                state));
        tell(l -> l.onCheckpoint(t, where, better));
        return where;
    }

    /// Workers whose parameters are no longer the same would train something that nobody asked for.
    private void requireEqual(float[] params) {
        if (workers.size() == 1)
            return;
        long hash = hash(params);
        double[][] all = workers.gather(hash >>> 32, hash & 0xffffffffL);
        for (int r = 1; r < all.length; r++)
            if (all[r][0] != all[0][0] || all[r][1] != all[0][1])
                throw new NumericException("step " + t + ": the parameters of worker " + r
                        + " are not those of worker 0;"
                        + " their processors, Java or flags round differently; checkpoints saved before are good");
    }

    private void tellWorkers(double seconds) {
        if (workers.size() == 1)
            return;
        double exchanging = workers.exchanging();
        double waiting = workers.waiting();
        List<TrainListener.Work> all = new ArrayList<>();
        for (double[] w : workers.gather(seconds - exchanging - waiting, exchanging, waiting))
            all.add(new TrainListener.Work(Math.max(0, w[0]), w[1], w[2]));
        tell(l -> l.onWorkers(all));
    }

    private static long hash(float[] values) {
        long h = values.length;
        for (float v : values)
            h = Long.rotateLeft(h ^ Float.floatToRawIntBits(v), 23) * 0x9E3779B97F4A7C15L;
        return h;
    }

    private void tellRotations() {
        List<Geometry> g = trained.geometry();
        if (!g.isEmpty()) {
            TrainListener.Rotations r = new TrainListener.Rotations(t, g);
            tell(l -> l.onRotations(r));
            Geometry worst = g.stream().max(Comparator.comparingDouble(Geometry::defect)).orElseThrow();
            if (!(worst.defect() <= MOST_DEFECT))
                throw new NumericException(String.format(Locale.ROOT,
                        "step %d: the rotation of %s is none any more: ||R'R - I|| is %.3g (norm of Q %.3g); %s", t,
                        worst.module(), worst.defect(), worst.skewNorm(), remedy()));
        }
    }

    private void tell(Consumer<TrainListener> what) {
        listeners.forEach(what);
    }
}
