package dev.gyre.trainer.cli;

import dev.gyre.trainer.config.AdapterConfig;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.run.Devices;
import dev.gyre.trainer.run.FineTuning;
import dev.gyre.trainer.run.TrainingRun;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre train`: fine-tunes a model as a run.yaml says.
@Command(name = "train", description = "Fine-tune a model as run.yaml says; Ctrl-C finishes the step and saves.")
final class TrainCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "RUN.yaml", description = "The run's configuration.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--set", paramLabel = "KEY=VALUE",
            description = "Replace a key of the configuration, such as train.lr=3e-4; may be repeated.")
    List<String> set = new ArrayList<>();

    @Option(names = "--resume", description = "Go on with the run in the output directory, from its newest checkpoint.")
    boolean resume;

    @Override
    protected int run() {
        RunConfig c = ConfigReader.read(file, RunConfig.class, set);
        Devices.Chosen device = Devices.open(c.device());
        try (TrainingRun run = FineTuning.open(c, resume, device.backend(), Version.number())) {
            return RunScreen.train(screen(), run, device, c.train(), c.output(), c.seed(), model(c, run),
                    RunScreen.again("train", run.dir().path()));
        }
    }

    static String model(RunConfig c, TrainingRun run) {
        long all = run.model().parameters();
        String base = c.model().path() + " · " + Text.big(all) + " parameters";
        if (c.adapter() instanceof AdapterConfig.Full)
            return base + " · all trained";
        var adapter = run.model().adapters().getFirst();
        return base + " · adapter " + adapter.spec().method() + " on " + Text.many(adapter.modules().size(), "module")
                + ", "
                + Text.big(adapter.parameters()) + " trained (" + Text.percent(adapter.parameters(), all) + ")";
    }
}
