package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import java.util.List;
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
        return new Ready(StepPlan.of(plan.training, b.shape()), i.rowLoss());
    }

    @Override
    protected Ready evaluation(Batch b) {
        TransformerProgram.Io i = load(b, 0f);
        return new Ready(StepPlan.of(plan.evaluation, b.shape()), i.rowLoss());
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
        TransformerProgram.WithLogits l = StepPlan.of(plan.logits, b.shape());
        session().run(l.program());
        session().read(l.logits(), out);
        return lossSum(i.rowLoss());
    }

    private TransformerProgram.Io load(Batch b, float scale) {
        return plan.load(session(), b, scale);
    }
}
