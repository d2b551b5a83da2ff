package dev.gyre.kernels;

/// A check that the user asked for is above its limit.
public final class CheckFailedException extends GyreException {
    private static final long serialVersionUID = 1L;

    public CheckFailedException(String message) {
        super(message);
    }
}
