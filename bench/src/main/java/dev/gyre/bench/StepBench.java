package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.Shape;
import dev.gyre.kernels.check.Size;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.measure.ProcessMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A whole training step (forward, loss, backward, clip, AdamW) of a model with random weights, timed.
final class StepBench {
    private static final int WARM_UP_STEPS = 3;
    private static final double LEARNING_RATE = 1e-4;

    private StepBench() {
    }

    /// The Llama model of a size, for sequences of T tokens.
    static ModelConfig config(Size z, int T) {
        return config(z, z.layers(), T);
    }

    static ModelConfig config(Size z, int layers, int T) {
        Shape s = z.shape();
        return ModelConfig.llama(s.V(), s.C(), s.F(), layers, s.H(), s.KV(), T, false, null, List.of(), null);
    }

    /// A model that steps are taken with.
    interface Subject {
        Stepper<?> open(Settings s, Backend backend);

        /// A decoder that learns to continue.
        static Subject of(ModelConfig config) {
            return (s, backend) -> {
                Batch batch = batch(s.batch, s.seq, config.vocabSize(), s.trained);
                return new Stepper<>(new TrainSession(model(config, s, backend), backend, List.of(batch.shape()),
                        s.method.full(), Set.of(TrainSession.Use.TRAIN)), batch, 1f / batch.trained());
            };
        }
    }

    /// A session on one batch.
    ///
    /// @param scale of the sum of losses
    record Stepper<B>(LearningSession<B> session, B batch, float scale) implements AutoCloseable {
        /// Forward and backward; returns the loss.
        double microBatch() {
            return session.microBatch(batch, scale) * scale;
        }

        @Override
        public void close() {
            session.close();
        }
    }

    /// @param base how frozen weights are held
    /// @param batch rows of a step
    /// @param seq tokens of a row
    /// @param trained percent of each row's tokens, at its end, that have a label, as completions after their prompts
    /// @param warmUp least seconds before timing, and at least three steps
    /// @param profile whether some more steps are taken with every operation timed
    record Settings(Subject subject, Method method, Storage base, int batch, int seq, int trained, double warmUp,
            Sampler sampler,
            boolean profile) {
        Settings(ModelConfig config, Method method, Storage base, int batch, int seq, int trained, double warmUp,
                Sampler sampler, boolean profile) {
            this(Subject.of(config), method, base, batch, seq, trained, warmUp, sampler, profile);
        }

        int tokens() {
            return batch * seq;
        }
    }

    /// @param samples of whole steps
    /// @param updateMs median of clip and AdamW alone
    /// @param planned bytes of weights, state and activations, known before the first step
    /// @param resident bytes resident before the first step
    /// @param peakResident largest number of bytes resident during the steps, 0 where the system does not say
    /// @param peakHeap bytes of the Java heap in use at most during the steps
    /// @param flop floating point operations of a step
    /// @param steps steps taken in all before the last loss
    /// @param compiled for the device; null on the CPU
    /// @param launched on the device in the samples; null on the CPU
    /// @param timings operations of `timedSteps` further steps by kind, the longest first; empty unless asked for
    record Result(Sampler.Samples samples, double updateMs, int trainable, long planned, long resident,
            long peakResident, long peakHeap, long flop, double firstLoss, double lastLoss, int steps,
            Session.@Nullable Compiled compiled, Session.@Nullable Launched launched, List<OpTime> timings,
            int timedSteps) {
        double gflops() {
            return flop / samples.median() / 1e6;
        }

        Result with(List<OpTime> byKind, int timed) {
            return new Result(samples, updateMs, trainable, planned, resident, peakResident, peakHeap, flop, firstLoss,
                    lastLoss, steps, compiled, launched, byKind, timed);
        }
    }

    static Result run(Settings s, Backend backend) {
        try (Stepper<?> stepper = s.subject.open(s, backend)) {
            LearningSession<?> session = stepper.session();
            Steps steps = new Steps(stepper);
            ProcessMemory.forgetPeaks();
            long resident = ProcessMemory.resident();
            long begun = System.nanoTime();
            double first = steps.run();
            while (steps.done < WARM_UP_STEPS || System.nanoTime() - begun < 1e9 * s.warmUp)
                steps.run();
            steps.updates.clear();
            Session.Launched before = session.launched();
            Sampler.Samples samples = s.sampler.measure(steps::run);
            Session.Launched after = session.launched();
            Result r = new Result(samples, Stats.median(steps.updates.stream().mapToDouble(x -> x).toArray()),
                    session.trainableParameters(), session.plannedBytes(), resident, ProcessMemory.peakResident(),
                    ProcessMemory.peakHeap(), session.flops(), first, steps.loss, steps.done,
                    session.compiled(), after == null || before == null ? null : after.since(before), List.of(), 0);
            if (!s.profile)
                return r;
            int timed = Math.max(1, samples.all().stream().mapToInt(Sampler.Sample::runs).sum() / 4);
            session.time(true);
            for (int i = 0; i < timed; i++)
                steps.run();
            return r.with(OpTime.byKind(session.timings()), timed);
        }
    }

    /// Takes steps on one batch.
    private static final class Steps {
        private final Stepper<?> stepper;
        private final List<Double> updates = new ArrayList<>();
        private int done;
        private double loss = Double.NaN;

        Steps(Stepper<?> stepper) {
            this.stepper = stepper;
        }

        double run() {
            loss = stepper.microBatch();
            if (!Double.isFinite(loss))
                throw new IllegalStateException("the loss became " + loss + " after " + done
                        + " steps; what is timed would not be training");
            long t0 = System.nanoTime();
            stepper.session().update(new AdamWStep(++done, (float) LEARNING_RATE, 0.9f, 0.999f, 1e-8f, 0f, 1f));
            updates.add((System.nanoTime() - t0) / 1e6);
            return loss;
        }
    }

    private static Transformer model(ModelConfig config, Settings s, Backend backend) {
        Transformer model = Transformer.random(config, 1, s.base);
        if (!s.method.full())
            model.attach(Adapter.create(s.method.options(), model, 1,
                    new BaseWeights(model, backend, (module, captured, residual, gap) -> {
                    })));
        return model;
    }

    /// Random tokens, each the label of the one before it.
    private static Batch batch(int B, int T, int V, int trained) {
        Random random = new Random(7);
        int[] ids = random.ints(B * T, 0, V).toArray();
        int[] labels = new int[B * T];
        int prompt = T - Math.max(2, Math.ceilDiv(T * trained, 100));
        for (int i = 0; i < labels.length; i++)
            labels[i] = i % T == T - 1 || i % T < prompt ? Batch.IGNORE : ids[i + 1];
        return Batch.rows(B, T, ids, labels);
    }
}
