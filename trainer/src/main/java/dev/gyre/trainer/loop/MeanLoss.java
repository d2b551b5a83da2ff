package dev.gyre.trainer.loop;

import dev.gyre.dist.Collective;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.data.RunData;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// The mean loss over held-out micro-batches, of which each worker computes its share.
///
/// @param also further sets by name
/// @param <B> a micro-batch
public record MeanLoss<B>(Trainable<B> trained, List<BatchStream.Micro<B>> set,
        Map<String, List<BatchStream.Micro<B>>> also) implements Validation {
    /// On a run's data; null where it has nothing to evaluate on.
    public static @Nullable MeanLoss<Batch> of(Trainable<Batch> trained, RunData data) {
        return data.validation().isEmpty() ? null : new MeanLoss<>(trained, data.validation(), data.alsoValid());
    }

    @Override
    public Measured measure(Collective workers) {
        double loss = mean(set, workers);
        Map<String, Double> others = new TreeMap<>();
        if (Double.isFinite(loss))
            also.forEach((name, other) -> others.put(name, mean(other, workers)));
        return new Measured(loss, counted(set), others, Map.of());
    }

    private double mean(List<BatchStream.Micro<B>> of, Collective workers) {
        double[] losses = new double[of.size()];
        for (int i = Shares.first(workers, workers.rank(), of.size()); i < Shares.first(workers, workers.rank() + 1,
                of.size()); i++)
            losses[i] = trained.evaluate(of.get(i).batch());
        double sum = 0;
        for (double loss : Shares.gathered(workers, losses))
            sum += loss;
        return sum / counted(of);
    }

    private static <B> long counted(List<BatchStream.Micro<B>> of) {
        return of.stream().mapToLong(BatchStream.Micro::trained).sum();
    }
}
