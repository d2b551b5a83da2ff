package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Interrupt;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.watch.WatchServer;
import dev.gyre.trainer.watch.WatchedRun;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/// `gyre watch`: the page of a run that another process trains, or trained.
@Command(name = "watch",
        description = "Show a run as it goes on a page for this machine's browser, with a button that stops it: a run that is going on in another process, was stopped or is finished. Ctrl-C ends the page, not the run.")
final class WatchCommand extends GyreCommand {
    private static final int LOOKS_MILLIS = 100;

    @Parameters(index = "0", paramLabel = "RUN", description = "Run directory of gyre train.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path dir;

    @Parameters(index = "1", paramLabel = "PORT", arity = "0..1",
            description = "Port of the page (default: 8642, or where that is taken a free one).")
    @Nullable
    Integer port;

    @Override
    protected int run() throws InterruptedException {
        WatchedRun run = WatchedRun.of(dir, RunScreen.again("train", dir));
        try (WatchServer server = WatchServer.bind(port == null ? 0 : port); Interrupt end = Interrupt.ofAnswer()) {
            server.start(run);
            screen().result(dir + " is " + run.state().name() + "; watch it at " + server.address()
                    + " (Ctrl-C ends the page)");
            while (!end.requested())
                Thread.sleep(LOOKS_MILLIS);
        }
        return ExitCode.OK;
    }
}
