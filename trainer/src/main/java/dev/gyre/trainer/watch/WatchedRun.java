package dev.gyre.trainer.watch;

import dev.gyre.kernels.InputException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.TuningSettings;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Results;
import java.nio.file.Files;
import java.nio.file.Path;

/// A run that another process trains, or trained: its state is read from its directory.
public final class WatchedRun implements WatchServer.Source {
    /// Between two looks at the lock, which keep a process that starts just then from taking it.
    private static final long LOOKS_NANOS = 1_000_000_000L;

    private final Path dir;
    private final String again;
    private WatchServer.State known;
    private long looked;

    private WatchedRun(Path dir, String again) {
        this.dir = dir;
        this.again = again;
        this.known = look();
        this.looked = System.nanoTime();
    }

    /// @param again the command that resumes the run
    public static WatchedRun of(Path dir, String again) {
        Path config = dir.resolve("run.yaml");
        if (!Files.isRegularFile(config))
            throw new InputException(dir + ": no run directory (no run.yaml)");
        if (!ConfigReader.has(config, "adapter"))
            throw new InputException(dir + ": is not a run of gyre train; only those have a page");
        return new WatchedRun(dir, again);
    }

    @Override
    public Path run() {
        return dir;
    }

    @Override
    public synchronized WatchServer.State state() {
        long now = System.nanoTime();
        if (now - looked > LOOKS_NANOS) {
            known = look();
            looked = now;
        }
        return known;
    }

    private WatchServer.State look() {
        TuningSettings c = TuningSettings.of(dir);
        Long steps = c.train().steps() == null ? null : (long) c.train().steps();
        String name;
        String text = "";
        if (RunDir.isBusy(dir))
            name = "training";
        else
            if (Files.exists(dir.resolve(Results.FILE))) {
                name = "finished";
                Path report = dir.resolve("report.html");
                if (Files.exists(report))
                    text = "the report is " + report;
            } else
                if (Files.isDirectory(dir.resolve("adapter")) || Files.isDirectory(dir.resolve("model"))) {
                    name = "measuring";
                    text = "trained; what the result achieves is not known yet";
                } else {
                    name = "stopped";
                    text = "go on with " + again;
                }
        return new WatchServer.State(name, text, steps, c.train().epochs());
    }
}
