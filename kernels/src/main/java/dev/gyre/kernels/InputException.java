package dev.gyre.kernels;

/// A value that the caller chose cannot be used: an unknown name, a size that does not divide, options that exclude each
/// other.
public class InputException extends GyreException {
    private static final long serialVersionUID = 1L;

    public InputException(String message) {
        super(message);
    }

    public InputException(String message, Throwable cause) {
        super(message, cause);
    }
}
