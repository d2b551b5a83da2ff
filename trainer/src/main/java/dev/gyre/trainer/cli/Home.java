package dev.gyre.trainer.cli;

import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import org.jspecify.annotations.Nullable;

/// Where the repository's own files are, from wherever Gyre is started.
final class Home {
    static final String BASE_MODEL = "examples/small-llama";

    private Home() {
    }

    /// `name` below the working directory, or below a folder above the jar; null when it is nowhere.
    static @Nullable Path find(String name) {
        Path here = Path.of(name);
        if (Files.exists(here))
            return here;
        try {
            CodeSource source = Home.class.getProtectionDomain().getCodeSource();
            Path at = source == null ? null : Path.of(source.getLocation().toURI()).toAbsolutePath();
            for (int i = 0; at != null && i < 6; i++, at = at.getParent())
                if (Files.exists(at.resolve(name)))
                    return at.resolve(name);
        } catch (URISyntaxException e) {
            // a jar at no file address has no folder above it
        }
        return null;
    }
}
