package dev.gyre.trainer.cli;

/// A check that the user asked for is above its limit; exit code 3.
public final class CheckFailedException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public CheckFailedException(String message) {
        super(message);
    }
}
