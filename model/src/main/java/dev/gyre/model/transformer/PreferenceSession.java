package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.BiConsumer;

/// A transformer in training on pairs of answers. The loss of a pair is a function of the log-probabilities of its answers, so its
/// gradient is that of the answers' log-probabilities, each times a number: both answers run forward once for these two
/// numbers, then forward and backward as any other row does. No second copy of the model, and no operation of its own.
///
/// Nothing is dropped: the numbers would be those of another model.
public final class PreferenceSession extends LearningSession<PairBatch> {
    private final Transformer model;
    private final StepPlan plan;
    private final PreferenceLoss loss;

    /// @param shapes of single rows
    /// @param full whether all weights are trained instead of the attached adapters
    /// @param accumulate micro-batches of a step
    public PreferenceSession(Transformer model, Backend backend, List<BatchShape> shapes, boolean full, Set<Use> uses,
            int accumulate, PreferenceLoss loss) {
        this(model, backend, new StepPlan(model.config(), model, full ? model.allWeights() : List.of(),
                model.adapters(), shapes, with(uses), accumulate, backend.logits()), loss);
    }

    private PreferenceSession(Transformer model, Backend backend, StepPlan plan, PreferenceLoss loss) {
        super(backend, plan.programs(), plan.memory(), plan.store, plan.learning, model.adapters(), plan.flops(), 0);
        this.model = model;
        this.plan = plan;
        this.loss = loss;
    }

    private static Set<Use> with(Set<Use> uses) {
        Set<Use> all = EnumSet.copyOf(uses);
        all.addAll(Set.of(Use.EVALUATE, Use.NO_DROPOUT));
        return all;
    }

    /// The forward and backward pass of the first pair's chosen answer, to be looked at operation by operation.
    @Override
    protected Ready training(PairBatch b, float scale) {
        return training(b.pairs().getFirst().chosen(), scale);
    }

    @Override
    protected Ready evaluation(PairBatch b) {
        return evaluation(b.pairs().getFirst().chosen());
    }

    private Ready training(Batch row, float scale) {
        TransformerProgram.Io i = plan.load(session(), row, scale);
        return new Ready(StepPlan.of(plan.training, row.shape()), i.rowLoss());
    }

    private Ready evaluation(Batch row) {
        TransformerProgram.Io i = plan.load(session(), row, 0f);
        return new Ready(StepPlan.of(plan.evaluation, row.shape()), i.rowLoss());
    }

    /// Log-probability of a row's labels.
    public double logProbability(Batch row) {
        Ready r = evaluation(row);
        session().run(r.program());
        return -lossSum(r.rowLoss());
    }

    private PreferenceLoss.Terms terms(PairBatch.Pair p) {
        return loss.of(new PreferenceLoss.Answers(logProbability(p.chosen()), logProbability(p.rejected()),
                p.chosenReference(), p.rejectedReference(), p.chosen().trained(), p.rejected().trained()));
    }

    /// The terms of each pair, without gradients.
    public List<PreferenceLoss.Terms> terms(PairBatch b) {
        List<PreferenceLoss.Terms> out = new ArrayList<>();
        b.pairs().forEach(p -> out.add(terms(p)));
        return out;
    }

    @Override
    public double microBatch(PairBatch b, float scale) {
        double sum = 0;
        for (PairBatch.Pair p : b.pairs()) {
            PreferenceLoss.Terms t = terms(p);
            sum += t.loss();
            if (!Double.isFinite(t.loss()))
                return sum;
            // a row's program has the gradient of the negative log-probability
            session().run(training(p.chosen(), (float) (-scale * t.chosenSlope())).program());
            session().run(training(p.rejected(), (float) (-scale * t.rejectedSlope())).program());
        }
        return sum;
    }

    @Override
    public double evaluate(PairBatch b) {
        double sum = 0;
        for (PairBatch.Pair p : b.pairs())
            sum += terms(p).loss();
        return sum;
    }

    @Override
    protected BiConsumer<String, float[]> replacing() {
        return (name, values) -> {
            if (model.weights().containsKey(name))
                model.replace(name, values);
        };
    }
}
