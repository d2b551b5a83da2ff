package dev.gyre.model.transformer;

import dev.gyre.kernels.op.TokenOps;

/// Token rows ready for the model; every array has B*T elements, row-major.
///
/// | name | meaning |
/// |---|---|
/// | ids | token ids |
/// | labels | target of each position (already shifted: the next token), [#IGNORE] where nothing is predicted |
/// | positions | RoPE positions; they restart with each packed example |
/// | start | index within the row of the first token that this one may attend to: its example's first token |
public record Batch(int B, int T, int[] ids, int[] labels, int[] positions, int[] start) {
    /// Label of a position that does not count in the loss.
    public static final int IGNORE = TokenOps.CrossEntropy.IGNORE;

    public Batch {
        int n = Math.multiplyExact(B, T);
        if (ids.length != n || labels.length != n || positions.length != n || start.length != n)
            throw new IllegalArgumentException(
                    "a batch of " + B + " x " + T + " needs " + n + " ids, labels, positions and"
                            + " starts; got " + ids.length + ", " + labels.length + ", " + positions.length + ", "
                            + start.length);
        for (int i = 0; i < n; i++)
            if (start[i] < 0 || start[i] > i % T)
                throw new IllegalArgumentException("start of token " + i % T + " in row " + i / T + " is " + start[i]);
    }

    /// Whole rows, one example each: positions 0..T-1, everything before visible.
    public static Batch rows(int B, int T, int[] ids, int[] labels) {
        int[] positions = new int[B * T];
        for (int i = 0; i < positions.length; i++)
            positions[i] = i % T;
        return new Batch(B, T, ids, labels, positions, new int[B * T]);
    }

    public BatchShape shape() {
        return new BatchShape(B, T);
    }

    /// Positions whose label counts.
    public int trained() {
        int n = 0;
        for (int l : labels)
            if (l != IGNORE)
                n++;
        return n;
    }
}
