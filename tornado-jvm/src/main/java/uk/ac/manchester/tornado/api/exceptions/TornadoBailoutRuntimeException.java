package uk.ac.manchester.tornado.api.exceptions;

/// A kernel that the compiler refuses.
public class TornadoBailoutRuntimeException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public TornadoBailoutRuntimeException(String message) {
        super(message);
    }
}
