package dev.gyre.trainer.cli;

import dev.gyre.dist.WorkerException;
import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.GyreException;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.loop.NumericException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;

/// From exceptions to what a user reads and what a script gets.
final class Errors {
    private static final String REPORT =
            "; this is a bug in Gyre: please report it with the output of the same command with --debug";

    private Errors() {
    }

    static int exitCode(Throwable e) {
        return switch (e) {
            case NumericException _,CheckFailedException _ -> ExitCode.NUMERIC;
            case DeviceException _ -> ExitCode.FAILURE;
            case GyreException _ -> ExitCode.USAGE;
            case InvalidPathException _,NoSuchFileException _,FileAlreadyExistsException _ -> ExitCode.USAGE;
            case UncheckedIOException u when u.getCause() instanceof IOException c -> exitCode(c);
            case Throwable _ -> ExitCode.FAILURE;
        };
    }

    /// What happened, in one line (a configuration error shows its place on two more).
    static String message(Throwable e) {
        return switch (e) {
            case NoSuchFileException x -> x.getFile() + ": no such file";
            case FileAlreadyExistsException x -> x.getFile() + ": exists already";
            case AccessDeniedException x -> x.getFile() + ": permission denied";
            case UncheckedIOException x when x.getCause() instanceof IOException c -> message(c);
            case IOException x -> text(x);
            case OutOfMemoryError x ->
                    "out of memory: " + x.getMessage() + "; give the JVM more (GYRE_JAVA_OPTS=-Xmx8g), or"
                            + " use a smaller train.micro_batch or train.seq_len";
            case DeviceException x -> text(x);
            case WorkerException x -> text(x);
            case StackOverflowError _ -> "internal error: stack overflow" + REPORT;
            case Throwable x when exitCode(x) != ExitCode.FAILURE -> text(x);
            case Throwable x -> "internal error: " + x.getClass().getSimpleName() + ": " + text(x) + REPORT;
        };
    }

    private static String text(Throwable e) {
        String m = e.getMessage();
        return m == null || m.isBlank() ? e.getClass().getSimpleName() : m;
    }
}
