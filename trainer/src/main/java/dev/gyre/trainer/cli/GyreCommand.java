package dev.gyre.trainer.cli;

import dev.gyre.dist.Mpi;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.data.Reading;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/// Options and output that all commands share.
public abstract class GyreCommand implements Callable<Integer> {
    @Option(names = {"-q", "--quiet"}, description = "Print results and errors only.")
    boolean quiet;

    @Option(names = "--debug", description = "Show where an error came from (stack trace).")
    boolean debug;

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "Show this help and exit.")
    boolean help;

    private @Nullable Screen screen;

    /// Where to print.
    protected Screen screen() {
        return Objects.requireNonNull(screen);
    }

    final void attach(Screen s) {
        s.quiet(quiet);
        screen = s;
    }

    /// Does the work; throws what [Errors] knows to name.
    protected abstract int run() throws Exception;

    /// Whether the command can be one of several workers.
    protected boolean hasWorkers() {
        return false;
    }

    @Override
    public final Integer call() throws Exception {
        if (!hasWorkers() && Mpi.isLaunched(System.getenv()))
            throw new UsageException(
                    "this command was started as one of several workers, by mpirun or srun, and only gyre"
                            + " train and gyre pretrain have workers; start it by itself");
        return Reading.within(screen()::status, this::run);
    }
}
