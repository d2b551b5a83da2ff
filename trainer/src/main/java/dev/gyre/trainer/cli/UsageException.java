package dev.gyre.trainer.cli;

import dev.gyre.kernels.InputException;

/// The command line asks for something that cannot be.
public final class UsageException extends InputException {
    private static final long serialVersionUID = 1L;

    public UsageException(String message) {
        super(message);
    }
}
