package dev.gyre.trainer.hub;

import dev.gyre.kernels.GyreException;

/// The hub does not have what was asked for, or not for us.
public final class HubException extends GyreException {
    private static final long serialVersionUID = 1L;

    public HubException(String message) {
        super(message);
    }
}
