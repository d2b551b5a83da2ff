package dev.gyre.dist;

/// Another worker ended or cannot be reached, so this one ends as well.
public final class WorkerException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public WorkerException(String message) {
        super(message);
    }
}
