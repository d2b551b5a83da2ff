package dev.gyre.model.task;

import dev.gyre.model.transformer.Batch;
import java.util.Arrays;

/// Sequences or images ready for a model with a head.
///
/// | name | elements | meaning |
/// |---|---|---|
/// | ids | B*T | token ids; none for images |
/// | types | B*T | token types |
/// | from, to | B | the first token of each sequence that is not padding, and the one after the last |
/// | pixels | B*channels*height*width | normalised images; none for text |
/// | labels | B, or B*T for classes of tokens | class, [Batch#IGNORE] where nothing is predicted |
/// | targets | B*outputs | numbers, or 0 and 1 for several labels; similarities (B/2) for pairs of embeddings |
public record TaskBatch(int B, int T, int[] ids, int[] types, int[] from, int[] to, float[] pixels, int[] labels,
        float[] targets) {
    public TaskBatch {
        if (from.length != B || to.length != B || ids.length != types.length
                || ids.length != 0 && ids.length != Math.multiplyExact(B, T))
            throw new IllegalArgumentException("a batch of " + B + " x " + T + " got " + ids.length + " ids, "
                    + types.length + " types, " + from.length + " bounds");
        for (int b = 0; b < B; b++)
            if (from[b] < 0 || from[b] >= to[b] || to[b] > T)
                throw new IllegalArgumentException("sequence " + b + " of " + T + " tokens is at " + from[b] + " to "
                        + to[b]);
    }

    /// Sequences without labels.
    public static TaskBatch text(int B, int T, int[] ids, int[] types, int[] from, int[] to) {
        return new TaskBatch(B, T, ids, types, from, to, new float[0], new int[0], new float[0]);
    }

    /// Images without labels, of T tokens each.
    public static TaskBatch images(int B, int T, float[] pixels) {
        int[] to = new int[B];
        Arrays.fill(to, T);
        return new TaskBatch(B, T, new int[0], new int[0], new int[B], to, pixels, new int[0], new float[0]);
    }

    public TaskBatch labelled(int[] classes) {
        return new TaskBatch(B, T, ids, types, from, to, pixels, classes, targets);
    }

    public TaskBatch aimedAt(float[] values) {
        return new TaskBatch(B, T, ids, types, from, to, pixels, labels, values);
    }

    /// Labels that count: those that are not ignored, or one for each row of targets.
    ///
    /// @param rows number of rows of targets
    int counted(int rows) {
        return labels.length == 0 ? rows : (int) Arrays.stream(labels).filter(l -> l != Batch.IGNORE).count();
    }
}
