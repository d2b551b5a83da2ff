package dev.gyre.kernels;

/// Something went wrong that a user can understand and mend: a wrong option, file or device, a run that diverged, a check
/// above its limit. The message is one line that says what, where, and what to do. Every other exception is an internal
/// error.
public abstract class GyreException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    protected GyreException(String message) {
        super(message);
    }

    protected GyreException(String message, Throwable cause) {
        super(message, cause);
    }
}
