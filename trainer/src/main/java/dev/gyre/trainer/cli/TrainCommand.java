package dev.gyre.trainer.cli;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Interrupt;
import dev.gyre.trainer.cli.screen.ResultsText;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.plan.RunDevice;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.run.FineTuning;
import dev.gyre.trainer.run.Follower;
import dev.gyre.trainer.run.LanguageTraining;
import dev.gyre.trainer.run.Training;
import dev.gyre.trainer.run.TrainingRun;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
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

    @Option(names = "--workers", paramLabel = "N",
            description = "Share each step among N processes on this machine, started by mpirun; same result. Several"
                    + " machines: start gyre train with mpirun or srun.")
    int workers = 1;

    @Option(names = "--watch", paramLabel = "PORT", arity = "0..1", fallbackValue = "0",
            description = "Show the run as it goes on a page for this machine's browser, with a button that stops it; without PORT at 8642, or where that is taken at a free one.")
    @Nullable
    Integer watch;

    @Override
    protected int run() {
        if (json)
            screen().json();
        if (withParent)
            endWithParent();
        return Launcher.among(workers, screen(), all -> {
            if (ConfigReader.has(file, "preference"))
                return PreferenceScreen.train(screen(), file, set, resume, watch, all);
            return ConfigReader.has(file, "task")
                    ? TaskScreen.train(screen(), file, set, resume, watch, all) : run(all);
        });
    }

    @Override
    protected boolean hasWorkers() {
        return true;
    }

    private int run(Collective all) {
        RunConfig config = ConfigReader.readWithInputs(file, RunConfig.class, set);
        Devices.Chosen device = RunDevice.open(config, Launcher.device(config.device()));
        if (all.rank() > 0)
            return follow(FineTuning.training(config, device.backend()), device.backend(), all);
        try (LivePage page = watch == null ? null : new LivePage(watch, config)) {
            return run(config, device, all, page);
        }
    }

    private int run(RunConfig config, Devices.Chosen device, Collective all, @Nullable LivePage page) {
        Outcome run;
        try {
            run = train(config, device, all, page);
        } catch (RuntimeException e) {
            if (page != null)
                page.is("stopped", Errors.message(e));
            throw e;
        }
        if (page != null && run.code == ExitCode.OK)
            page.is("measuring", "");
        // the run's model is out of reach here: its memory is free for two models, one after the other
        if (run.code == ExitCode.OK)
            measure(config, run, device.backend());
        Path report = Report.write(run.dir);
        screen().result("report    " + report);
        if (page != null)
            page.is(run.code == ExitCode.OK ? "finished" : "stopped",
                    (run.code == ExitCode.OK ? "" : "go on with " + RunScreen.again("train", run.dir) + " \u00b7 ")
                            + "the report is " + report);
        return run.code;
    }

    /// @param trained whether steps were taken
    /// @param sampled whether evaluations on the way saw a part of `data.valid`
    private record Outcome(int code, Path dir, Results.Training training, boolean trained, boolean sampled) {
    }

    /// The part in a run of a worker that is not the first.
    static <B> int follow(Training<B> training, Backend backend, Collective all) {
        try (training; Interrupt interrupt = Interrupt.ofWorker()) {
            return Follower.run(training, backend, all, Version.number(), interrupt::requested).finished()
                    ? ExitCode.OK : ExitCode.INTERRUPTED;
        }
    }

    private Outcome train(RunConfig config, Devices.Chosen device, Collective all, @Nullable LivePage page) {
        Path base = config.model().directory();
        RunDir.check(Path.of(config.output().dir()), resume);
        LanguageTraining training = FineTuning.training(config, device.backend());
        try (TrainingRun<?> run = TrainingRun.open(training, resume, device.backend(), Version.number(), all)) {
            ModelRef.warnings(base).forEach(screen()::note);
            Path dir = run.dir().path();
            if (page != null)
                screen().note("watch     " + page.start(dir, run.steps()));
            int code = RunScreen.train(screen(), run, device,
                    RunScreen.Header.of(training, model(config, training.model())), RunScreen.again("train", dir));
            return new Outcome(code, dir, Results.Training.of(run), run.from() < run.done(),
                    training.sampled().isPresent());
        }
    }

    private void measure(RunConfig config, Outcome run, Backend backend) {
        screen().status("measuring base model and result ...");
        Results r = Results.measure(config, run.dir, run.training, backend);
        if (config.results().report())
            Report.examine(config, run.dir, backend, run.trained);
        screen().done();
        ResultsText.beforeAndAfter(r.before(), r.after()).forEach(screen()::result);
        Results.Rotation turned = r.rotation();
        if (turned != null && Geometry.isDrifted(turned.skewNorm(), turned.defect()))
            screen().note(Text.format("warning: the rotations are not orthogonal any more: error %.1e, above %.0e; %s",
                    turned.defect(), Geometry.WARN, Geometry.REMEDY));
        String worse = worse(r, run);
        if (worse != null)
            screen().note("warning: " + worse);
    }

    /// What a "best validation" does not say: that the base model was better.
    private static @Nullable String worse(Results r, Outcome run) {
        Double base = r.before().loss();
        Double result = r.after().loss();
        if (base == null || result == null)
            return null;
        double best = Metrics.read(run.dir.resolve("metrics.jsonl")).with("valid_loss").stream()
                .mapToDouble(n -> n.path("valid_loss").doubleValue()).min().orElse(result);
        double limit = base + 1e-5 * Math.max(1, base);
        if (!run.sampled && best > limit)
            return Text.format("no evaluation came below the base model: its loss on data.valid is %.4f, the best"
                    + " validation %.4f; lower train.lr or train on other data", base, best);
        if (result > limit)
            return Text.format("the result is worse than the base model on data.valid: loss %.4f, base %.4f; lower"
                    + " train.lr, train less, or set eval.result: best", result, base);
        return null;
    }

    static String model(RunConfig c, Transformer model) {
        long all = model.parameters();
        String base = c.model().path() + " · " + Text.big(all) + " parameters";
        if (c.adapter() instanceof Full)
            return base + " · all trained";
        var adapter = model.adapters().getFirst();
        return base + " · adapter " + adapter.options().title() + " on " + Text.many(adapter.modules().size(), "module")
                + ", "
                + Text.big(adapter.parameters()) + " trained (" + Text.percent(adapter.parameters(), all) + ")";
    }

    /// A run whose sweep was killed must not go on while the next sweep starts it again.
    private static void endWithParent() {
        Thread.ofPlatform().daemon().name("with parent").start(() -> {
            try {
                while (System.in.read() >= 0)
                    continue;
            } catch (IOException e) {
                // a broken input is taken for the end of the parent
            }
            Runtime.getRuntime().halt(ExitCode.INTERRUPTED);
        });
    }
}
