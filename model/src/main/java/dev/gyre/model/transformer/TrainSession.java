package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.kernels.op.Op;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.adapter.Methods;
import dev.gyre.model.adapter.StepHook;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.DoubleStream;
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
    private final long seed;
    private long dropoutDraws;
    private final List<StepHook> hooks = new ArrayList<>();
    private float[] numbers = {};

    /// Opens training and evaluation programs for batches of the given shapes.
    public TrainSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full) {
        this(model, backend, shapes, full, Set.of(Use.TRAIN, Use.EVALUATE));
    }

    /// With seed 0.
    public TrainSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full, Set<Use> uses) {
        this(model, backend, shapes, full, uses, 0);
    }

    /// @param full whether all weights are trained instead of the attached adapters
    /// @param seed of dropout
    public TrainSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full, Set<Use> uses,
            long seed) {
        this(model, backend, new StepPlan(model.config(), model, full ? model.allWeights() : List.of(),
                model.adapters(), shapes, uses, backend.logits()), seed);
    }

    private TrainSession(Transformer model, Backend backend, StepPlan plan, long seed) {
        this.model = model;
        this.seed = seed;
        this.plan = plan;
        this.store = plan.store;
        this.session = backend.open(plan.programs());
        store.fill(session, plan.memory());
        if (plan.update != null)
            for (Adapter a : model.adapters()) {
                StepHook h = Methods.of(a.options()).stepHook(a.options(), a.modules());
                if (h != null)
                    hooks.add(h);
            }
    }

    /// For logits of the last tokens of each row only: those of long rows over a large vocabulary are gigabytes.
    ///
    /// @param last tokens at the end of each row whose logits [#logits] gives
    public static TrainSession ofLastLogits(Transformer model, Backend backend, BatchShape shape, int last) {
        return new TrainSession(model, backend, new StepPlan(model.config(), model, List.of(), model.adapters(),
                List.of(shape), Set.of(Use.LOGITS), backend.logits(), last), 0);
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
        drawDropout();
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
        session.write(i.positions(), b.positions());
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
    public long draws() {
        return dropoutDraws;
    }

    /// Each draw has a generator of its own, so that a resumed run needs to know only how many there were. The seed is
    /// mixed first: the draws of neighbouring seeds would otherwise overlap.
    private void drawDropout() {
        var random = new SplittableRandom(new SplittableRandom(seed).nextLong() + ++dropoutDraws);
        if (plan.memory().persistent().contains(store.dropoutSeed()))
            session.write(store.dropoutSeed(), new int[] {random.nextInt()});
        for (Buffers.BlockMask b : store.blockMasks()) {
            int groups = b.flags().dim(0);
            int n = b.flags().dim(1);
            int first = random.nextInt(groups) * n;
            int[] flags = new int[groups * n];
            int left = groups * n > 1 ? (int) (b.share() * n) : 0;
            for (int i = 0; i < n && left > 0; i++)
                if (random.nextInt(n - i) < left) {
                    flags[first + i] = 1;
                    left--;
                }
            session.write(b.flags(), flags);
        }
    }

    /// Clips, takes an AdamW step and sets the gradients to zero; returns the gradient norm before clipping. When that is not
    /// finite, nothing is changed.
    @Override
    public double update(AdamWStep step) {
        Program update = plan.update;
        Program gradientNorm = plan.gradientNorm;
        if (update == null || gradientNorm == null)
            throw new InputException("nothing is trainable: attach an adapter or train all weights");
        session.run(gradientNorm);
        double norm = session.read(plan.norm)[0];
        if (!Double.isFinite(norm))
            return norm;
        session.write(plan.hp, step.hp());
        float[] gradients = hooks.isEmpty() ? new float[0] : session.read(store.grads());
        session.run(update);
        if (!hooks.isEmpty())
            afterStep(step, gradients, norm);
        return norm;
    }

    private void afterStep(AdamWStep step, float[] gradients, double norm) {
        float[] params = session.read(store.params());
        double clip = step.maxNorm() > 0 ? Math.min(1, step.maxNorm() / (norm + 1e-6)) : 1;
        boolean changed = false;
        for (StepHook h : hooks)
            changed |= h.afterStep(step.t(), new Values(params), new Values(gradients), clip);
        if (changed)
            session.write(store.params(), params);
    }

    private final class Values implements StepHook.Values {
        private final float[] all;

        Values(float[] all) {
            this.all = all;
        }

        @Override
        public float[] all() {
            return all;
        }

        @Override
        public int offset(Tensor t) {
            return store.offset(t);
        }
    }

    /// Repeats the last micro-batch, which was `b`, operation by operation, with the current parameters.
    @Override
    public @Nullable String culprit(Batch b, float scale) {
        load(b, scale);
        session.write(store.grads(), zeros());
        Op op = session.firstNonFinite(program(plan.training, b.shape()));
        return op == null ? null : op.toString();
    }

    /// Gradients accumulated since the last update, by trainable tensor.
    public Map<Tensor, float[]> gradients() {
        float[] all = session.read(store.grads());
        Map<Tensor, float[]> out = new LinkedHashMap<>();
        for (Tensor t : store.tensors())
            out.put(t, Arrays.copyOfRange(all, store.offset(t), store.offset(t) + t.size()));
        return out;
    }

    /// Current parameters and moments, copied.
    @Override
    public TrainState state() {
        Buf m = plan.m;
        Buf v = plan.v;
        if (m == null || v == null)
            throw new IllegalStateException("the session does not train");
        double[] method = hooks.stream().flatMapToDouble(h -> {
            double[] own = h.state();
            return DoubleStream.concat(DoubleStream.of(own.length), Arrays.stream(own));
        }).toArray();
        return new TrainState(session.read(store.params()), session.read(m), session.read(v), method);
    }

    @Override
    public void restore(TrainState s, long draws) {
        restore(s);
        dropoutDraws = draws;
    }

    public void restore(TrainState s) {
        Buf m = plan.m;
        Buf v = plan.v;
        if (m == null || v == null)
            throw new IllegalStateException("the session does not train");
        session.write(store.params(), s.params());
        session.write(m, s.m());
        session.write(v, s.v());
        session.write(store.grads(), zeros());
        int at = 0;
        for (StepHook h : hooks)
            if (at < s.method().length) {
                int n = (int) s.method()[at++];
                h.restore(Arrays.copyOfRange(s.method(), at, at + n));
                at += n;
            }
    }

    /// Rotation metrics of the attached adapters, module by module.
    @Override
    public List<Geometry> geometry() {
        pull(false);
        List<Geometry> out = new ArrayList<>();
        for (Adapter a : model.adapters())
            for (AdapterLayer x : a.modules()) {
                Geometry g = x.geometry();
                if (g != null)
                    out.add(g);
            }
        return out;
    }

    /// Copies the trained parameters into the adapters' tensors and, in full training, into the model's weights.
    public void pull() {
        pull(true);
    }

    private void pull(boolean weights) {
        if (store.size() == 0)
            return;
        float[] all = numbers();
        session.read(store.params(), all);
        for (Tensor t : store.tensors()) {
            System.arraycopy(all, store.offset(t), t.values(), 0, t.size());
            if (weights && model.weights().containsKey(t.name()))
                model.replace(t.name(), t.values());
        }
    }

    /// Array for all trainable parameters, made once.
    private float[] numbers() {
        if (numbers.length != store.size())
            numbers = new float[store.size()];
        return numbers;
    }

    private float[] zeros() {
        float[] all = numbers();
        Arrays.fill(all, 0);
        return all;
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
