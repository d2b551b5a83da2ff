package dev.gyre.trainer.run;

import dev.gyre.kernels.DeviceException;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.llama.AdamWStep;
import dev.gyre.model.llama.Batch;
import dev.gyre.model.llama.TrainState;
import dev.gyre.trainer.loop.Trainee;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Lets a device take the first step of a run and the CPU backend the same one: same state, same batches, same draws. A
/// device that computes something else stops there, before anything is saved. Later steps go to the device alone.
final class FirstStepCheck implements Trainee {
    /// The CPU's side: what trains, and how to give its memory back.
    interface Twin extends AutoCloseable {
        Trainee trainee();

        @Override
        void close();
    }

    /// What a step left, on the device and on the CPU, and their relative differences. Gradients are compared by the change
    /// of AdamW's first moment, parameters by their change where the gradient is above a thousandth of its root mean square:
    /// AdamW divides a gradient by its size, so that below rounding only the sign of noise would be compared.
    ///
    /// @param seconds that the device took, compiling included
    record Result(double loss, double cpuLoss, double norm, double cpuNorm, double gradient, double update,
            double seconds, double cpuSeconds) {
        static final double LOSS = 1e-4;
        static final double NORM = 1e-3;
        static final double GRADIENT = 2e-3;
        static final double UPDATE = 1e-2;

        double lossError() {
            return relative(loss, cpuLoss);
        }

        double normError() {
            return relative(norm, cpuNorm);
        }

        /// False also for NaN.
        boolean passed() {
            return lossError() <= LOSS && normError() <= NORM && gradient <= GRADIENT && update <= UPDATE;
        }

        @Override
        public String toString() {
            return String.format(Locale.ROOT,
                    "loss %.6f and %.6f (CPU), relative differences: loss %.1e (limit %.0e), gradient norm %.1e (%.0e),"
                            + " gradients %.1e (%.0e), update %.1e (%.0e)",
                    loss, cpuLoss, lossError(), LOSS, normError(), NORM, gradient, GRADIENT, update, UPDATE);
        }

        private static double relative(double x, double reference) {
            return x == reference ? 0 : Math.abs(x - reference) / Math.abs(reference);
        }
    }

    private final Trainee device;
    private final String name;
    private final Supplier<Twin> cpu;
    private final Consumer<Result> told;
    private boolean done;
    private @Nullable Twin twin;
    private @Nullable TrainState before;
    private double loss;
    private double cpuLoss;
    private long nanos;
    private long cpuNanos;

    /// @param name of the device
    /// @param cpu opened at the first step, closed after it
    /// @param told gets the result when it is good
    FirstStepCheck(Trainee device, String name, Supplier<Twin> cpu, Consumer<Result> told) {
        this.device = device;
        this.name = name;
        this.cpu = cpu;
        this.told = told;
    }

    @Override
    public double microBatch(Batch b, float scale) {
        if (done)
            return device.microBatch(b, scale);
        Twin t = twin;
        if (t == null) {
            t = cpu.get();
            twin = t;
            TrainState s = device.state();
            before = s;
            t.trainee().restore(s, device.draws());
        }
        long begun = System.nanoTime();
        cpuLoss += scale * t.trainee().microBatch(b, scale);
        long between = System.nanoTime();
        double sum = device.microBatch(b, scale);
        loss += scale * sum;
        cpuNanos += between - begun;
        nanos += System.nanoTime() - between;
        return sum;
    }

    @Override
    public double update(AdamWStep step) {
        long begun = System.nanoTime();
        double norm = device.update(step);
        nanos += System.nanoTime() - begun;
        Twin t = twin;
        if (done || t == null)
            return norm;
        done = true;
        Result r;
        try (t) {
            begun = System.nanoTime();
            double cpuNorm = t.trainee().update(step);
            cpuNanos += System.nanoTime() - begun;
            r = compare(Objects.requireNonNull(before), device.state(), t.trainee().state(), norm, cpuNorm);
        }
        twin = null;
        before = null;
        if (!r.passed())
            throw new DeviceException(
                    "device " + name + " computes something else than the CPU in step " + step.t() + ": "
                            + r + "; gyre kernels --check --device " + name
                            + " finds the operation; check_device: false trains without this check");
        told.accept(r);
        return norm;
    }

    private Result compare(TrainState old, TrainState there, TrainState here, double norm, double cpuNorm) {
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
        return new Result(loss, cpuLoss, norm, cpuNorm, root(gradient, size), root(update, moved),
                nanos / 1e9, cpuNanos / 1e9);
    }

    private static double square(double x) {
        return x * x;
    }

    private static double root(double difference, double of) {
        return difference == 0 ? 0 : Math.sqrt(difference / of);
    }

    @Override
    public double evaluate(Batch b) {
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
    public void restore(TrainState state, long draws) {
        device.restore(state, draws);
    }
}
