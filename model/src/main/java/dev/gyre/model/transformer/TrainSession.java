package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.kernels.op.Op;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A model on a backend, ready for training and evaluation. Trains the adapters attached to the model, or (`full`) all of
/// its weights. Programs and memory are made once; a step allocates nothing.
public final class TrainSession implements Trainable {
    /// Which programs a session is opened with; each costs its outputs and, on a device, its compile time.
    public enum Use {
        TRAIN, EVALUATE, LOGITS,
        /// With TRAIN: layers keep only their inputs and run forward a second time in the backward pass. Less memory, more
        /// time, the same gradients.
        GRADIENT_CHECKPOINTING
    }

    private final Transformer model;
    private final StepPlan plan;
    private final Buffers store;
    private final Session session;
    private final Learner learner;

    /// Opens training and evaluation programs for batches of the given shapes.
    public TrainSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full) {
        this(model, backend, shapes, full, Set.of(Use.TRAIN, Use.EVALUATE));
    }

    /// With seed 0.
    public TrainSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full, Set<Use> uses) {
        this(model, backend, shapes, full, uses, 0);
    }

    /// For steps of one micro-batch, or of several whose gradients are added one after the other.
    ///
    /// @param seed of dropout
    public TrainSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full, Set<Use> uses,
            long seed) {
        this(model, backend, shapes, full, uses, seed, 1);
    }

    /// @param full whether all weights are trained instead of the attached adapters
    /// @param seed of dropout
    /// @param accumulate micro-batches of a step, whose gradients are summed in a tree; see [#hold]
    public TrainSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full, Set<Use> uses,
            long seed, int accumulate) {
        this(model, backend, new StepPlan(model.config(), model, full ? model.allWeights() : List.of(),
                model.adapters(), shapes, uses, accumulate, backend.logits()), seed);
    }

    private TrainSession(Transformer model, Backend backend, StepPlan plan, long seed) {
        this.model = model;
        this.plan = plan;
        this.store = plan.store;
        this.session = backend.open(plan.programs());
        store.fill(session, plan.memory());
        this.learner = new Learner(session, store, plan.learning, plan.memory(), model.adapters(), seed);
    }

    /// For logits of the last tokens of each row only: those of long rows over a large vocabulary are gigabytes.
    ///
    /// @param last tokens at the end of each row whose logits [#logits] gives
    public static TrainSession ofLastLogits(Transformer model, Backend backend, BatchShape shape, int last) {
        return new TrainSession(model, backend, new StepPlan(model.config(), model, List.of(), model.adapters(),
                List.of(shape), Set.of(Use.LOGITS), 1, backend.logits(), last), 0);
    }

    /// Trainable tensors in the order of [TrainState] and of the gradients.
    public List<Tensor> tensors() {
        return store.tensors();
    }

    public int trainableParameters() {
        return store.size();
    }

    /// Forward and backward: adds the gradient of `scale * (sum of token losses)` to the gradients.
    ///
    /// @return the sum of the token losses (not scaled)
    @Override
    public double microBatch(Batch b, float scale) {
        TransformerProgram.Io i = load(b, scale);
        learner.drawDropout();
        session.run(program(plan.training, b.shape()));
        return lossSum(i);
    }

    /// Sum of the token losses, without gradients.
    @Override
    public double evaluate(Batch b) {
        TransformerProgram.Io i = load(b, 0f);
        session.run(program(plan.evaluation, b.shape()));
        return lossSum(i);
    }

    /// All logits (B, T, V) of a batch into `out`; returns the sum of the token losses. In a session of [#ofLastLogits], the
    /// logits of these, and nothing about losses.
    public double logits(Batch b, float[] out) {
        TransformerProgram.Io i = load(b, 0f);
        TransformerProgram.WithLogits l = program(plan.logits, b.shape());
        session.run(l.program());
        session.read(l.logits(), out);
        return lossSum(i);
    }

    private static <T> T program(Map<BatchShape, T> of, BatchShape s) {
        T p = of.get(s);
        if (p == null)
            throw new IllegalArgumentException(
                    "the session was not opened for batches of " + s + "; it has " + of.keySet());
        return p;
    }

    private TransformerProgram.Io load(Batch b, float scale) {
        TransformerProgram.Io i = program(plan.io, b.shape());
        int V = model.config().vocabSize();
        for (int id : b.ids())
            if (id < 0 || id >= V)
                throw new InputException("token id " + id + " is outside the vocabulary of " + V);
        for (int l : b.labels())
            if (l != Batch.IGNORE && (l < 0 || l >= V))
                throw new InputException("label " + l + " is outside the vocabulary of " + V);
        session.write(i.ids(), b.ids());
        session.write(i.labels(), b.labels());
        session.write(i.positions(), plan.rows(b.positions()));
        session.write(i.start(), b.start());
        session.write(plan.lossScale, new float[] {scale});
        return i;
    }

    private double lossSum(TransformerProgram.Io i) {
        double sum = 0;
        for (float l : session.read(i.rowLoss()))
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
    public @Nullable String culprit(Batch b, float scale) {
        load(b, scale);
        learner.clearGradients();
        Op op = session.firstNonFinite(program(plan.training, b.shape()));
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
        learner.pull((name, values) -> {
            if (model.weights().containsKey(name))
                model.replace(name, values);
        });
    }

    /// Peak memory of weights, state and activations, known before the first run; workspace of kernels not counted.
    public long plannedBytes() {
        return plan.memory().bytes();
    }

    /// Bytes that the session holds; on a device from the first run on with the workspaces of its kernels.
    public long bytes() {
        return session.bytes();
    }

    public Map<Role, Long> bytesByRole() {
        return plan.memory().bytesByRole();
    }

    /// Floating point operations of one micro-batch and one update, of the first batch shape.
    public long flops() {
        return plan.flops();
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
        plan.programs().forEach(p -> s.append(p.print()).append('\n'));
        return s.toString();
    }

    @Override
    public void close() {
        session.close();
    }
}
