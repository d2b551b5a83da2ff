package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.TokenOps;

/// Cross entropy of each row and, in place, its gradient.
public final class CrossEntropyRef {
    private CrossEntropyRef() {
    }

    /// `rowLoss = log sum exp logits - logits[label]`; `logits <- (softmax - onehot) scale`; 0 for ignored rows.
    public static void crossEntropy(Vec logits, int[] labels, Vec rowLoss, double scale, int N, int V,
            boolean gradient) {
        for (int i = 0; i < N; i++) {
            Vec row = logits.slice(i * V, V);
            boolean ignored = labels[i] == TokenOps.CrossEntropy.IGNORE;
            double max = Double.NEGATIVE_INFINITY;
            for (int c = 0; c < V; c++)
                max = Math.max(max, row.get(c));
            double sum = 0;
            for (int c = 0; c < V; c++)
                sum += Math.exp(row.get(c) - max);
            double lse = max + Math.log(sum);
            rowLoss.set(i, ignored ? 0 : lse - row.get(labels[i]));
            if (gradient)
                for (int c = 0; c < V; c++)
                    row.set(c, ignored ? 0 : (Math.exp(row.get(c) - lse) - (c == labels[i] ? 1 : 0)) * scale);
        }
    }
}
