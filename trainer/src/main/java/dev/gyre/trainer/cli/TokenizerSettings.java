package dev.gyre.trainer.cli;

import java.nio.file.Files;
import java.nio.file.Path;

/// Settings of DJL, which runs the tokenizers and takes them from system properties only. They are the application's to
/// make, not the library's; what the user set himself stays.
final class TokenizerSettings {
    private TokenizerSettings() {
    }

    /// Keeps DJL off the network (telemetry, native libraries for the GPU at hand), and gives it a folder it can write to
    /// where the home directory is not one.
    static void apply() {
        setIfAbsent("ai.djl.offline", "true");
        Path cache = Path.of(System.getProperty("user.home", "."), ".djl.ai");
        Path place = Files.exists(cache) ? cache : cache.getParent();
        if (place == null || !Files.isWritable(place))
            setIfAbsent("DJL_CACHE_DIR", Path.of(System.getProperty("java.io.tmpdir", "."), "djl-"
                    + System.getProperty("user.name", "user")).toString());
    }

    private static void setIfAbsent(String name, String value) {
        if (System.getenv(name) == null && System.getProperty(name) == null)
            System.setProperty(name, value);
    }
}
