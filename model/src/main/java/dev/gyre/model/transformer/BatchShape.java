package dev.gyre.model.transformer;

import dev.gyre.kernels.InputException;

/// Rows of a batch: B sequences of T tokens.
public record BatchShape(int B, int T) {
    public BatchShape {
        if (B < 1 || T < 1)
            throw new InputException(
                    "a batch needs at least one sequence of one token, got " + B + " x " + T);
        Math.multiplyExact(B, T);
    }

    public int tokens() {
        return B * T;
    }
}
