package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.Session;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;

/// A transformer on a backend, ready for training and evaluation. Trains the adapters attached to the model, or (`full`) all of
/// its weights.
public final class TrainSession extends LearningSession<Batch> {
    private final Transformer model;
    private final StepPlan plan;

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
        super(backend, plan.programs(), plan.memory(), plan.store, plan.learning, model.adapters(), plan.flops(), seed);
        this.model = model;
        this.plan = plan;
    }

    /// For logits of the last tokens of each row only: those of long rows over a large vocabulary are gigabytes.
    ///
    /// @param last tokens at the end of each row whose logits [#logits] gives
    public static TrainSession ofLastLogits(Transformer model, Backend backend, BatchShape shape, int last) {
        return new TrainSession(model, backend, new StepPlan(model.config(), model, List.of(), model.adapters(),
                List.of(shape), Set.of(Use.LOGITS), 1, backend.logits(), last), 0);
    }

    @Override
    protected Ready training(Batch b, float scale) {
        TransformerProgram.Io i = load(b, scale);
        return new Ready(program(plan.training, b.shape()), i.rowLoss());
    }

    @Override
    protected Ready evaluation(Batch b) {
        TransformerProgram.Io i = load(b, 0f);
        return new Ready(program(plan.evaluation, b.shape()), i.rowLoss());
    }

    @Override
    protected BiConsumer<String, float[]> replacing() {
        return (name, values) -> {
            if (model.weights().containsKey(name))
                model.replace(name, values);
        };
    }

    /// All logits (B, T, V) of a batch into `out`; returns the sum of the token losses. In a session of [#ofLastLogits], the
    /// logits of these, and nothing about losses.
    public double logits(Batch b, float[] out) {
        TransformerProgram.Io i = load(b, 0f);
        TransformerProgram.WithLogits l = program(plan.logits, b.shape());
        session().run(l.program());
        session().read(l.logits(), out);
        return lossSum(i.rowLoss());
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
        Session session = session();
        session.write(i.ids(), b.ids());
        session.write(i.labels(), b.labels());
        session.write(i.positions(), plan.rows(b.positions()));
        session.write(i.start(), b.start());
        session.write(plan.lossScale, new float[] {scale});
        return i;
    }
}
