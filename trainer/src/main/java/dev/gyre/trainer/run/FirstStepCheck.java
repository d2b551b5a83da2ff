package dev.gyre.trainer.run;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.trainer.config.LoopSettings;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Lets a device take the first step of a run and the CPU backend the same one: same state, same batches, same draws. Then
/// both take a step of one micro-batch from a state whose parameters were all moved a little, because a new adapter's
/// rotations are the identity, where a wrong one would not show; the device goes on from its own first step, bit for bit. A
/// device that computes something else stops there, before anything is saved. Later steps go to the device alone.
///
/// @param <B> a micro-batch
final class FirstStepCheck<B> implements Trainable<B> {
    /// Largest relative differences. Rounded factors move more than the sums' order: seen on the shipped model are for
    /// TF32 5.6e-5, 2.9e-4, 1.6e-3, 2.0e-2 and for BF16 5.0e-4, 4.0e-3, 1.6e-2, 1.3e-1.
    record Limits(double loss, double norm, double gradient, double update) {
        static Limits of(Precision precision) {
            return switch (precision) {
                case F32 -> new Limits(1e-4, 1e-3, 2e-3, 1e-2);
                case TF32 -> new Limits(1e-3, 1e-2, 2e-2, 1e-1);
                case BF16 -> new Limits(1e-2, 5e-2, 2e-1, 5e-1);
            };
        }
    }

    /// What a step left, on the device and on the CPU, and their relative differences. Gradients are compared by the change
    /// of AdamW's first moment, parameters by their change where the gradient is above a thousandth of its root mean square:
    /// AdamW divides a gradient by its size, so that below rounding only the sign of noise would be compared.
    record Step(double loss, double cpuLoss, double norm, double cpuNorm, double gradient, double update,
            Limits limits) {

        double lossError() {
            return relative(loss, cpuLoss);
        }

        double normError() {
            return relative(norm, cpuNorm);
        }

        /// False also for NaN.
        boolean passed() {
            return lossError() <= limits.loss && normError() <= limits.norm && gradient <= limits.gradient
                    && update <= limits.update;
        }

        @Override
        public String toString() {
            return String.format(Locale.ROOT,
                    "loss %.6f and %.6f (CPU), relative differences: loss %.1e (limit %.0e), gradient norm %.1e (%.0e),"
                            + " gradients %.1e (%.0e), update %.1e (%.0e)",
                    loss, cpuLoss, lossError(), limits.loss, normError(), limits.norm, gradient, limits.gradient,
                    update,
                    limits.update);
        }

        private static double relative(double x, double reference) {
            return x == reference ? 0 : Math.abs(x - reference) / Math.abs(reference);
        }
    }

    /// The first step, and the one with every parameter moved.
    ///
    /// @param seconds that the device took for both, compiling included
    record Result(Step first, Step moved, double seconds, double cpuSeconds) {
        @Override
        public String toString() {
            return first + "; with every parameter moved: " + moved;
        }
    }

    /// Standard deviation of what the parameters are moved by: a block of 32 then turns by about a tenth.
    private static final double MOVE = 0.01;

    private final Trainable<B> device;
    private final String name;
    private final Limits limits;
    private final Supplier<? extends Trainable<B>> cpu;
    private final Consumer<Result> told;
    private boolean done;
    private @Nullable Trainable<B> twin;
    private @Nullable TrainState before;
    private @Nullable B batch;
    private float scale;
    private double loss;
    private double cpuLoss;
    private long nanos;
    private long cpuNanos;

    /// A session, on a device with its first step checked where the configuration asks for that and the JVM has the memory.
    ///
    /// @param workers of the run, of which this process is one
    /// @param step that the run begins with
    /// @param skipped gets the reason if there is no check for want of memory
    /// @param told gets the result when it is good
    static <B> Trainable<B> over(LearningSession<B> session, Training<B> training, Backend backend, Collective workers,
            long step, Consumer<String> skipped, Consumer<Result> told) {
        LoopSettings config = training.config();
        if (!config.checkDevice() || backend instanceof CpuBackend)
            return session;
        String why = tooLarge(session, training, step);
        if (why != null) {
            skipped.accept(why);
            return session;
        }
        return new FirstStepCheck<>(session, backend.name(), backend.precision(),
                () -> training.session(new CpuBackend(), Set.of(Use.TRAIN), Workers.share(config.train(), workers)),
                told);
    }

    /// Why the first step cannot be computed on the CPU as well: the JVM has not the memory that a session takes there beside
    /// the weights that are in memory already. A run that is possible without the check is not made impossible by it.
    private static @Nullable String tooLarge(LearningSession<?> session, Training<?> training, long step) {
        Runtime jvm = Runtime.getRuntime();
        long have = jvm.maxMemory() - (jvm.totalMemory() - jvm.freeMemory());
        long need = training.unread();
        for (Map.Entry<Buf.Role, Long> e : session.bytesByRole().entrySet())
            if (e.getKey() != Buf.Role.WEIGHT)
                need += e.getValue();
        return need <= have ? null
                : "step " + step + " is not compared with the CPU, which would take " + MemoryPlan.mib(need)
                        + " of the "
                        + MemoryPlan.mib(have) + " that Java may still use; check with a smaller batch,"
                        + " or give Java more (GYRE_JAVA_OPTS=-Xmx...)";
    }

    /// @param name of the device
    /// @param precision of its products
    /// @param cpu opened at the first step, closed after it
    /// @param told gets the result when it is good
    FirstStepCheck(Trainable<B> device, String name, Precision precision, Supplier<? extends Trainable<B>> cpu,
            Consumer<Result> told) {
        this.device = device;
        this.name = name;
        this.limits = Limits.of(precision);
        this.cpu = cpu;
        this.told = told;
    }

    @Override
    public double microBatch(B b, float scale) {
        if (done)
            return device.microBatch(b, scale);
        Trainable<B> t = twin;
        if (t == null) {
            t = cpu.get();
            twin = t;
            TrainState s = device.state();
            before = s;
            t.restore(s, device.draws());
        }
        this.batch = b;
        this.scale = scale;
        return both(t, b, scale);
    }

    private double both(Trainable<B> twin, B b, float scale) {
        long begun = System.nanoTime();
        cpuLoss += scale * twin.microBatch(b, scale);
        long between = System.nanoTime();
        double sum = device.microBatch(b, scale);
        loss += scale * sum;
        cpuNanos += between - begun;
        nanos += System.nanoTime() - between;
        return sum;
    }

    @Override
    public double update(AdamWStep step) {
        Trainable<B> t = twin;
        if (done || t == null)
            return device.update(step);
        done = true;
        double norm;
        Result r;
        try (t) {
            TrainState old = Objects.requireNonNull(before);
            Step first = updateBoth(t, old, step);
            norm = first.norm();
            require(first, step, "");
            TrainState goOn = device.state();
            long draws = device.draws();
            TrainState moved = moved(old);
            t.restore(moved, draws);
            device.restore(moved, draws);
            loss = 0;
            cpuLoss = 0;
            both(t, Objects.requireNonNull(batch), scale);
            Step second = updateBoth(t, moved, step);
            require(second, step, " with every parameter moved");
            device.restore(goOn, draws);
            r = new Result(first, second, nanos / 1e9, cpuNanos / 1e9);
        }
        twin = null;
        before = null;
        batch = null;
        told.accept(r);
        return norm;
    }

    private void require(Step s, AdamWStep step, String how) {
        if (!s.passed())
            throw new DeviceException(
                    "device " + name + " computes something else than the CPU in step " + step.t() + how + ": "
                            + s + "; gyre kernels --check --device " + name
                            + " finds the operation; check_device: false trains without this check");
    }

    private Step updateBoth(Trainable<B> here, TrainState old, AdamWStep step) {
        long begun = System.nanoTime();
        double norm = device.update(step);
        long between = System.nanoTime();
        double cpuNorm = here.update(step);
        nanos += between - begun;
        cpuNanos += System.nanoTime() - between;
        return compare(old, device.state(), here.state(), norm, cpuNorm);
    }

    private static TrainState moved(TrainState s) {
        Random random = new Random(1);
        float[] params = s.params().clone();
        for (int i = 0; i < params.length; i++)
            params[i] += (float) (MOVE * random.nextGaussian());
        return new TrainState(params, s.m().clone(), s.v().clone(), s.method().clone());
    }

    private Step compare(TrainState old, TrainState there, TrainState here, double norm, double cpuNorm) {
        int n = old.params().length;
        double size = 0;
        double gradient = 0;
        for (int i = 0; i < n; i++) {
            double g = here.m()[i] - old.m()[i];
            size += g * g;
            gradient += square(there.m()[i] - here.m()[i]);
        }
        double small = 1e-3 * Math.sqrt(size / n);
        double moved = 0;
        double update = 0;
        for (int i = 0; i < n; i++)
            if (Math.abs(here.m()[i] - old.m()[i]) > small) {
                moved += square(here.params()[i] - old.params()[i]);
                update += square(there.params()[i] - here.params()[i]);
            }
        return new Step(loss, cpuLoss, norm, cpuNorm, root(gradient, size), root(update, moved),
                limits);
    }

    private static double square(double x) {
        return x * x;
    }

    private static double root(double difference, double of) {
        return difference == 0 ? 0 : Math.sqrt(difference / of);
    }

    @Override
    public void hold(int level) {
        device.hold(level);
        if (twin != null)
            twin.hold(level);
    }

    @Override
    public void addHeld(int level) {
        device.addHeld(level);
        if (twin != null)
            twin.addHeld(level);
    }

    @Override
    public float[] gradientSum() {
        return device.gradientSum();
    }

    /// What the workers of a run have summed goes to both: this worker's own part was compared before, by its loss, and is
    /// compared again in the step with every parameter moved, which is not exchanged.
    @Override
    public void gradientSum(float[] sum) {
        device.gradientSum(sum);
        if (twin != null)
            twin.gradientSum(sum);
    }

    @Override
    public double evaluate(B b) {
        return device.evaluate(b);
    }

    @Override
    public TrainState state() {
        return device.state();
    }

    @Override
    public List<Geometry> geometry() {
        return device.geometry();
    }

    @Override
    public long draws() {
        return device.draws();
    }

    @Override
    public void draws(long draws) {
        device.draws(draws);
        if (twin != null)
            twin.draws(draws);
    }

    @Override
    public void restore(TrainState state, long draws) {
        device.restore(state, draws);
    }
}
