package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.loop.NumericException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Which exceptions are the user's to mend, and which are bugs of ours.
class ErrorsTest {
    @Test
    void whatTheUserCanMendIsOneLineWithoutTheWordInternal() {
        for (Throwable e : List.of(new InputException("rank 0 is below 1"), new UsageException("rank 0 is below 1"),
                new ConfigException("rank 0 is below 1"))) {
            assertThat(Errors.exitCode(e)).isEqualTo(ExitCode.USAGE);
            assertThat(Errors.message(e)).isEqualTo("rank 0 is below 1");
        }
        assertThat(Errors.exitCode(new FormatException(Path.of("a"), "is empty"))).isEqualTo(ExitCode.USAGE);
        assertThat(Errors.exitCode(new UncheckedIOException(new NoSuchFileException("a")))).isEqualTo(ExitCode.USAGE);
        assertThat(Errors.exitCode(new NumericException("NaN"))).isEqualTo(ExitCode.NUMERIC);
        assertThat(Errors.exitCode(new CheckFailedException("above"))).isEqualTo(ExitCode.NUMERIC);
        assertThat(Errors.exitCode(new DeviceException("no GPU"))).isEqualTo(ExitCode.FAILURE);
        assertThat(Errors.message(new DeviceException("no GPU"))).isEqualTo("no GPU");
        assertThat(Errors.message(new IOException("disk full"))).isEqualTo("disk full");
    }

    @Test
    void everyOtherExceptionIsABugOfOursAndAsksForAReport() {
        for (Throwable e : List.of(new IllegalArgumentException("threads must be at least 1"),
                new IllegalStateException("x"), new NullPointerException(), new StackOverflowError())) {
            assertThat(Errors.exitCode(e)).isEqualTo(ExitCode.FAILURE);
            assertThat(Errors.message(e)).startsWith("internal error: ").contains("report it").contains("--debug");
        }
    }
}
