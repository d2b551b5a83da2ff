package dev.gyre.trainer.measure;

import dev.gyre.kernels.Backend;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.SplittableRandom;

/// How far the logits of two models are apart on random tokens.
///
/// @param logits number of logits compared
/// @param difference the largest
/// @param relative the largest, over the largest logit
public record MergeCheck(int logits, double difference, double relative) {
    private static final int ROWS = 4;
    private static final int LENGTH = 32;

    public static MergeCheck of(Transformer before, Transformer after, Backend backend, long seed) {
        return of(logits(before, backend, seed), logits(after, backend, seed));
    }

    public static MergeCheck of(float[] a, float[] b) {
        double largest = 0;
        double difference = 0;
        for (int i = 0; i < a.length; i++) {
            largest = Math.max(largest, Math.abs(a[i]));
            double d = Math.abs(a[i] - b[i]);
            difference = d <= difference ? difference : d; // a NaN stays
        }
        return new MergeCheck(a.length, difference, difference / largest);
    }

    /// A model's logits on the random tokens of `seed`.
    public static float[] logits(Transformer model, Backend backend, long seed) {
        int V = model.config().vocabSize();
        int T = Math.min(LENGTH, model.config().maxPositionEmbeddings());
        SplittableRandom random = new SplittableRandom(seed);
        int[] ids = new int[ROWS * T];
        Arrays.setAll(ids, _ -> random.nextInt(V));
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Batch.IGNORE);
        HeapTrim.collect();
        float[] out = new float[Math.multiplyExact(ids.length, V)];
        try (TrainSession s = new TrainSession(model, backend, List.of(new BatchShape(ROWS, T)), false,
                EnumSet.of(TrainSession.Use.LOGITS))) {
            s.logits(Batch.rows(ROWS, T, ids, labels), out);
        }
        return out;
    }
}
