package dev.gyre.trainer.cli;

import dev.gyre.trainer.config.AdapterConfig;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.run.FineTuning;
import dev.gyre.trainer.run.TrainingRun;
import java.io.IOException;
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

    @Option(names = "--with-parent", hidden = true,
            description = "End at once when standard input ends: with the process that started this one.")
    boolean withParent;

    @Option(names = "--json",
            description = "Print one JSON object a line, as in metrics.jsonl, in place of text; the log keeps the text.")
    boolean json;

    @Override
    protected int run() {
        if (json)
            screen().json();
        if (withParent)
            endWithParent();
        RunConfig c = ConfigReader.readWithInputs(file, RunConfig.class, set);
        Devices.Chosen device = Devices.open(c.device(), c.precision());
        Done done = train(c, device);
        // from here on nothing holds the run: its memory is free for two models one after the other
        if (done.code != ExitCode.OK) {
            screen().result("report    " + Report.write(done.dir));
            return done.code;
        }
        screen().status("measuring base model and result ...");
        Results r = Results.measure(c, done.dir, done.training, device.backend());
        if (c.results().report())
            Report.examine(c, done.dir, device.backend(), done.trained);
        Path page = Report.write(done.dir);
        screen().done();
        ResultsText.beforeAndAfter(r.before(), r.after()).forEach(screen()::result);
        screen().result("report    " + page);
        return ExitCode.OK;
    }

    /// @param trained whether steps were taken
    private record Done(int code, Path dir, Results.Training training, boolean trained) {
    }

    private Done train(RunConfig c, Devices.Chosen device) {
        try (TrainingRun run = FineTuning.open(c, resume, device.backend(), Version.number())) {
            Path dir = run.dir().path();
            ModelRef.remarks(Path.of(c.model().path())).forEach(screen()::note);
            int code = RunScreen.train(screen(), run, device, c.train(), c.output(), c.seed(), model(c, run),
                    RunScreen.again("train", dir));
            boolean trained = run.from() < run.done();
            return new Done(code, dir, Results.Training.of(run, trained ? Memory.resident() : trainedIn(dir)), trained);
        }
    }

    /// What the process took that trained a run which was found complete; 0 where nobody knows.
    private static long trainedIn(Path dir) {
        Results r = Results.read(dir);
        return r == null ? 0 : r.memory().process();
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

    /// A run whose sweep was killed must not go on beside the run that the next sweep starts in its place.
    private static void endWithParent() {
        Thread.ofPlatform().daemon().name("with parent").start(() -> {
            try {
                while (System.in.read() >= 0)
                    continue;
            } catch (IOException e) {
                // as good as its end
            }
            Runtime.getRuntime().halt(ExitCode.INTERRUPTED);
        });
    }
}
