package dev.gyre.kernels.check;

/// Shapes of one layer and its batch.
///
/// @param B rows of a step
/// @param T tokens of a row
/// @param C hidden size
/// @param F inner size of the MLP
/// @param H query heads
/// @param KV key and value heads
/// @param V vocabulary
public record Shape(int B, int T, int C, int F, int H, int KV, int V) {
    /// Tokens of a step.
    public int N() {
        return B * T;
    }

    /// Head size.
    public int D() {
        return C / H;
    }

    /// The same model with another number of rows a step.
    public Shape withBatch(int rows) {
        return new Shape(rows, T, C, F, H, KV, V);
    }

    @Override
    public String toString() {
        return B + " x " + T + " tokens, hidden size " + C + ", MLP " + F + ", " + H + "/" + KV + " heads of " + D()
                + ", vocabulary " + V;
    }
}
