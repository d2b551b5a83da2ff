package dev.gyre.trainer.loop;

import dev.gyre.kernels.GyreException;

/// Training produced NaN or infinity and was stopped before anything of it was saved.
public final class NumericException extends GyreException {
    private static final long serialVersionUID = 1L;

    public NumericException(String message) {
        super(message);
    }
}
