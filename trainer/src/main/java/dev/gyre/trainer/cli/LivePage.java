package dev.gyre.trainer.cli;

import dev.gyre.trainer.config.TuningSettings;
import dev.gyre.trainer.watch.WatchServer;
import java.nio.file.Path;

/// The page of a run that this process trains.
final class LivePage implements AutoCloseable {
    private final WatchServer server;
    private final TuningSettings config;
    private volatile WatchServer.State state;

    /// @param port taken at once, so that a run whose page cannot be shown does not begin; 0: any
    LivePage(int port, TuningSettings config) {
        this.server = WatchServer.bind(port);
        this.config = config;
        this.state = new WatchServer.State("training", "", null, config.train().epochs());
    }

    /// Begins to answer; the page's address.
    String start(Path run, long steps) {
        state = new WatchServer.State("training", "", steps, config.train().epochs());
        server.start(new WatchServer.Source() {
            @Override
            public Path run() {
                return run;
            }

            @Override
            public WatchServer.State state() {
                return state;
            }
        });
        return server.address();
    }

    /// @param name of the state
    /// @param text more of it
    void is(String name, String text) {
        state = new WatchServer.State(name, text, state.steps(), state.epochs());
    }

    @Override
    public void close() {
        server.close();
    }
}
