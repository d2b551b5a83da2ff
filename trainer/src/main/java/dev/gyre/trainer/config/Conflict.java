package dev.gyre.trainer.config;

/// Thrown by a section's constructor: a value that is fine alone but not with the others. The reader adds the place.
final class Conflict extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;
    private final String key;

    Conflict(String key, String message) {
        super(message);
        this.key = key;
    }

    /// The key to point at.
    String key() {
        return key;
    }
}
