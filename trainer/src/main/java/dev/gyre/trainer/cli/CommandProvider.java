package dev.gyre.trainer.cli;

import java.util.List;

/// Adds commands of other modules to `gyre`; found by [java.util.ServiceLoader].
public interface CommandProvider {
    /// Objects annotated with picocli's `@Command`, each a [java.util.concurrent.Callable] of an exit code. They extend
    /// [GyreCommand] to get its options and its screen.
    List<Object> commands();
}
