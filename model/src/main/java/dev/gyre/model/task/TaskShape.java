package dev.gyre.model.task;

/// Shape of a batch: B sequences of T tokens, or B images.
///
/// @param height of the images; 0 for text
public record TaskShape(int B, int T, int height, int width) {
    public TaskShape {
        if (B < 1 || T < 1 || height < 0 || width < 0)
            throw new IllegalArgumentException("a batch of " + B + " x " + T);
        Math.multiplyExact(B, T);
    }

    public static TaskShape text(int B, int T) {
        return new TaskShape(B, T, 0, 0);
    }

    public int tokens() {
        return B * T;
    }

    @Override
    public String toString() {
        return B + "x" + T + (height > 0 ? " of " + height + "x" + width : "");
    }
}
