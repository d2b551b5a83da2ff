package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.plan.RunDevice;
import dev.gyre.trainer.run.LrFinder;
import dev.gyre.trainer.task.TaskTraining;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre lr-find`: finds a usable learning rate.
@Command(name = "lr-find",
        description = "Find a learning rate: take the run's own steps with a learning rate that grows from step to step, until the loss climbs away, and say where it falls fastest and where it is lowest. Writes nothing.")
final class LrFindCommand extends GyreCommand {
    /// Rows of the table.
    private static final int ROWS = 24;
    private static final int BAR = 40;

    @Parameters(index = "0", paramLabel = "RUN.yaml", description = "The run's configuration.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--set", paramLabel = "KEY=VALUE",
            description = "Replace a key of the configuration, such as adapter.r=8; may be repeated.")
    List<String> set = new ArrayList<>();

    @Option(names = "--steps", paramLabel = "N", defaultValue = "100",
            description = "Steps of the ramp (default: ${DEFAULT-VALUE}).")
    int steps;

    @Option(names = "--from", paramLabel = "LR", defaultValue = "1e-5",
            description = "Learning rate of the first step (default: ${DEFAULT-VALUE}).")
    double from;

    @Option(names = "--to", paramLabel = "LR", defaultValue = "1",
            description = "Learning rate of the last step (default: ${DEFAULT-VALUE}).")
    double to;

    @Override
    protected int run() {
        if (ConfigReader.has(file, "task")) {
            TaskRunConfig c = ConfigReader.readWithInputs(file, TaskRunConfig.class, set);
            Backend backend = Devices.open(c.device(), c.precision()).backend();
            try (TaskTraining t = new TaskTraining(c, backend)) {
                show(LrFinder.find((n, lr, listeners, stop) -> t.ramp(backend, n, lr, listeners, stop), steps, from, to,
                        this::status), c.train().lr());
            }
            return ExitCode.OK;
        }
        RunConfig c = ConfigReader.readWithInputs(file, RunConfig.class, set);
        show(LrFinder.find(c, RunDevice.open(c).backend(), steps, from, to, this::status), c.train().lr());
        return ExitCode.OK;
    }

    private void status(TrainListener.Step s) {
        screen().status(Text.format("step %d of %d · lr %.1e · loss %.4f", s.t(), steps, s.lr(), s.loss()));
    }

    /// @param now learning rate of the run
    private void show(LrFinder.Found f, double now) {
        screen().done();
        table(f.points());
        screen().result("");
        screen().result(f.climbed()
                ? Text.format("the loss climbs again at %.1e, after %d steps", f.points().getLast().lr(),
                        f.points().size())
                : Text.format("up to %.1e the loss does not climb by much%s", to,
                        f.lowest() < to / 2 ? Text.format("; it rises slowly after %.1e", f.lowest()) : ""));
        if (Double.isNaN(f.steepest())) {
            screen().result("it never fell: start lower (--from), take more steps (--steps), or larger batches");
            return;
        }
        screen().result(
                Text.format("it falls fastest at %.1e: a train.lr to try (now %.1e); it is lowest at %.1e, which is"
                        + " too high for a run", f.steepest(), now, f.lowest()));
    }

    private void table(List<LrFinder.Point> points) {
        double least = points.stream().mapToDouble(LrFinder.Point::smooth).min().orElseThrow();
        double most = points.stream().mapToDouble(LrFinder.Point::smooth).max().orElseThrow();
        screen().result("        lr      loss  averaged");
        int each = Math.ceilDiv(points.size(), ROWS);
        for (int i = 0; i < points.size(); i++) {
            LrFinder.Point p = points.get(i);
            if (i % each == 0 || i == points.size() - 1)
                screen().result(Text.format("%10.2e %9.4f %9.4f  %s", p.lr(), p.loss(), p.smooth(), "#".repeat(
                        1 + (int) Math.round((BAR - 1) * (p.smooth() - least) / Math.max(1e-12, most - least)))));
        }
    }
}
