package dev.gyre.trainer.cli.screen;

/// What `gyre` returns to the shell.
public final class ExitCode {
    public static final int OK = 0;
    /// Something failed: a full disk, a bug.
    public static final int FAILURE = 1;
    /// Usage, configuration or input.
    public static final int USAGE = 2;
    /// NaN, or a check above its limit.
    public static final int NUMERIC = 3;
    /// Ctrl-C: the step was finished and saved.
    public static final int INTERRUPTED = 130;

    private ExitCode() {
    }
}
