package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.kernels.op.Op;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/// A model on a backend, ready for training and evaluation, whatever it predicts. Programs and memory are made once; a step
/// allocates nothing. What is particular to a kind of batch is how it is loaded and which programs it runs.
///
/// @param <B> a micro-batch
public abstract class LearningSession<B> implements Trainable<B> {
    /// Which programs a session is opened with; each costs its outputs and, on a device, its compile time.
    public enum Use {
        TRAIN, EVALUATE, LOGITS,
        /// With TRAIN: layers keep only their inputs and run forward a second time in the backward pass. Less memory, more
        /// time, the same gradients.
        GRADIENT_CHECKPOINTING,
        /// With TRAIN: adapters drop nothing, so that gradients can be compared.
        NO_DROPOUT
    }

    /// A program whose inputs are loaded.
    ///
    /// @param rowLoss where it leaves the losses
    public record Ready(Program program, Buf rowLoss) {
    }

    private final MemoryPlan memory;
    private final List<Program> programs;
    private final Buffers store;
    private final Session session;
    private final Learner learner;
    private final long flops;

    /// @param store the trainable tensors
    /// @param flops of one micro-batch and one update
    /// @param seed of dropout
    protected LearningSession(Backend backend, List<Program> programs, MemoryPlan memory, Buffers store,
            Learner.Plan learning, List<Adapter> adapters, long flops, long seed) {
        this.programs = programs;
        this.memory = memory;
        this.store = store;
        this.flops = flops;
        this.session = backend.open(programs);
        store.fill(session, memory);
        this.learner = new Learner(session, store, learning, memory, adapters, seed);
    }

    /// Writes a micro-batch and the scale of its loss to the backend; forward and backward of it.
    protected abstract Ready training(B b, float scale);

    /// Writes a micro-batch to the backend; its forward pass.
    protected abstract Ready evaluation(B b);

    /// Replaces weights of the model that were trained themselves; gets every trained tensor by its name.
    protected abstract BiConsumer<String, float[]> replacing();

    protected Session session() {
        return session;
    }

    /// Trainable tensors in the order of [TrainState] and of the gradients.
    public List<Tensor> tensors() {
        return store.tensors();
    }

    public int trainableParameters() {
        return store.size();
    }

    /// Forward and backward: adds the gradient of `scale * (sum of row losses)` to the gradients.
    ///
    /// @return the sum of the row losses (not scaled)
    @Override
    public double microBatch(B b, float scale) {
        Ready r = training(b, scale);
        learner.drawDropout();
        session.run(r.program());
        return lossSum(r.rowLoss());
    }

    /// Sum of the row losses, without gradients.
    @Override
    public double evaluate(B b) {
        Ready r = evaluation(b);
        session.run(r.program());
        return lossSum(r.rowLoss());
    }

    /// The sum of what a program left.
    protected double lossSum(Buf rowLoss) {
        double sum = 0;
        for (float l : session.read(rowLoss))
            sum += l;
        return sum;
    }

    @Override
    public void hold(int level) {
        learner.hold(level);
    }

    @Override
    public void addHeld(int level) {
        learner.addHeld(level);
    }

    @Override
    public float[] gradientSum() {
        return learner.gradientSum();
    }

    @Override
    public void gradientSum(float[] sum) {
        learner.gradientSum(sum);
    }

    @Override
    public long draws() {
        return learner.draws();
    }

    @Override
    public void draws(long draws) {
        learner.draws(draws);
    }

    /// Clips, takes an AdamW step and sets the gradients to zero; returns the gradient norm before clipping. When that is not
    /// finite, nothing is changed.
    @Override
    public double update(AdamWStep step) {
        return learner.update(step);
    }

    /// Repeats the last micro-batch, which was `b`, operation by operation, with the current parameters.
    @Override
    public @Nullable String culprit(B b, float scale) {
        Ready r = training(b, scale);
        learner.clearGradients();
        Op op = session.firstNonFinite(r.program());
        return op == null ? null : op.toString();
    }

    /// Gradients accumulated since the last update, by trainable tensor.
    public Map<Tensor, float[]> gradients() {
        return learner.gradients();
    }

    /// Current parameters and moments, copied.
    @Override
    public TrainState state() {
        return learner.state();
    }

    @Override
    public void restore(TrainState s, long draws) {
        learner.restore(s, draws);
    }

    public void restore(TrainState s) {
        learner.restore(s);
    }

    /// Rotation metrics of the attached adapters, module by module.
    @Override
    public List<Geometry> geometry() {
        return learner.geometry();
    }

    /// Copies the trained parameters into the adapters' tensors and, in full training, into the model's weights.
    public void pull() {
        learner.pull(replacing());
    }

    /// Peak memory of weights, state and activations, known before the first run; workspace of kernels not counted.
    public long plannedBytes() {
        return memory.bytes();
    }

    /// Bytes that the session holds; on a device from the first run on with the workspaces of its kernels.
    public long bytes() {
        return session.bytes();
    }

    public Map<Role, Long> bytesByRole() {
        return memory.bytesByRole();
    }

    /// Floating point operations of one micro-batch and one update, of the first batch shape.
    public long flops() {
        return flops;
    }

    /// Measures single operations from now on, or no longer; see [Session#time].
    public boolean time(boolean on) {
        return session.time(on);
    }

    /// What the device has spent on compiling so far; null on the CPU.
    public Session.@Nullable Compiled compiled() {
        return session.compiled();
    }

    /// What the device was given so far; null on the CPU.
    public Session.@Nullable Launched launched() {
        return session.launched();
    }

    /// What the operations took since `time(true)`.
    public List<OpTime> timings() {
        return session.timings();
    }

    /// All programs, an operation a line.
    public String programs() {
        StringBuilder s = new StringBuilder();
        programs.forEach(p -> s.append(p.print()).append('\n'));
        return s.toString();
    }

    @Override
    public void close() {
        session.close();
    }
}
