package dev.gyre.model.options;

import dev.gyre.kernels.InputException;

/// Thrown by the constructor of an options record: a value that is valid by itself but not with the others. The reader of
/// a file adds the place.
public final class Conflict extends InputException {
    private static final long serialVersionUID = 1L;
    private final String key;

    /// @param key the key to point at
    public Conflict(String key, String message) {
        super(message);
        this.key = key;
    }

    public String key() {
        return key;
    }
}
