package dev.gyre.trainer.serve;

import dev.gyre.kernels.GyreException;

/// A request failed here, not because of what it asked.
final class ServeException extends GyreException {
    ServeException(String message, Throwable cause) {
        super(message, cause);
    }
}
