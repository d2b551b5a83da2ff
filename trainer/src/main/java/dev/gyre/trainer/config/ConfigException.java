package dev.gyre.trainer.config;

import dev.gyre.kernels.GyreException;

/// A mistake in a run configuration. The message names the place (`run.yaml:4:3`), the mistake and the remedy, and
/// shows the line with a caret.
public final class ConfigException extends GyreException {
    private static final long serialVersionUID = 1L;

    public ConfigException(String message) {
        super(message);
    }
}
