package dev.gyre.model.format;

import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Objects;

/// Reference files among the test resources, see `golden/README.md`.
public final class Golden {
    private Golden() {
    }

    public static Path path(String name) {
        try {
            return Path.of(Objects.requireNonNull(Golden.class.getResource("/golden/" + name), name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
