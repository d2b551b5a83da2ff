package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Op;
import dev.gyre.model.llama.Batch;
import dev.gyre.model.llama.BatchShape;
import dev.gyre.model.llama.Llama;
import dev.gyre.model.llama.TrainSession;
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

    public static MergeCheck of(Llama before, Llama after, Backend backend, long seed) {
        return of(logits(before, backend, seed), logits(after, backend, seed));
    }

    static MergeCheck of(float[] a, float[] b) {
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
    static float[] logits(Llama llama, Backend backend, long seed) {
        int V = llama.config().vocabSize();
        int T = Math.min(LENGTH, llama.config().maxPositionEmbeddings());
        SplittableRandom random = new SplittableRandom(seed);
        int[] ids = new int[ROWS * T];
        Arrays.setAll(ids, _ -> random.nextInt(V));
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Op.CrossEntropy.IGNORE);
        Garbage.collect();
        float[] out = new float[Math.multiplyExact(ids.length, V)];
        try (TrainSession s = new TrainSession(llama, backend, List.of(new BatchShape(ROWS, T)), false,
                EnumSet.of(TrainSession.Use.LOGITS))) {
            s.logits(Batch.rows(ROWS, T, ids, labels), out);
        }
        return out;
    }
}
