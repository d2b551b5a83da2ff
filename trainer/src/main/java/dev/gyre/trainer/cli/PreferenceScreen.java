package dev.gyre.trainer.cli;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.transformer.PairBatch;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.PreferenceRunConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.preference.PreferenceTraining;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.run.TrainingRun;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// What `gyre train` and `gyre check` do with a run.yaml that has a section `preference`.
final class PreferenceScreen {
    private PreferenceScreen() {
    }

    /// @param watch port of the run's page; null for none
    static int train(Screen screen, Path file, List<String> set, boolean resume, @Nullable Integer watch,
            Collective workers) {
        PreferenceRunConfig c = ConfigReader.readWithInputs(file, PreferenceRunConfig.class, set);
        Devices.Chosen device = Devices.open(Launcher.device(c.device()), c.precision());
        if (workers.rank() > 0)
            return TrainCommand.follow(new PreferenceTraining(c, device.backend()), device.backend(), workers);
        try (LivePage page = watch == null ? null : new LivePage(watch, c)) {
            return train(screen, c, device, resume, page, workers);
        }
    }

    private static int train(Screen screen, PreferenceRunConfig c, Devices.Chosen device, boolean resume,
            @Nullable LivePage page, Collective workers) {
        RunDir.check(Path.of(c.output().dir()), resume);
        PreferenceTraining training = new PreferenceTraining(c, device.backend());
        try (TrainingRun<PairBatch> run =
                TrainingRun.open(training, resume, device.backend(), Version.number(), workers)) {
            Path dir = run.dir().path();
            if (page != null)
                screen.note("watch     " + page.start(dir, run.steps()));
            PreferenceTraining.Scores before = training.begin(run);
            String again = RunScreen.again("train", dir);
            int code = RunScreen.train(screen, run, device, header(c, training), again);
            if (code != ExitCode.OK) {
                if (page != null)
                    page.is("stopped", "go on with " + again);
                return code;
            }
            PreferenceTraining.Scores after = training.end(run);
            if (before != null)
                screen.result("before    " + before);
            if (after != null)
                screen.result("after     " + after);
            if (page != null)
                page.is("finished", "");
            return code;
        } catch (RuntimeException e) {
            if (page != null)
                page.is("stopped", Errors.message(e));
            throw e;
        }
    }

    private static RunScreen.Header header(PreferenceRunConfig c, PreferenceTraining t) {
        RunConfig.Train b = c.train();
        List<String> lines = new ArrayList<>(List.of("data      " + data(t)));
        if (t.validPairs() > 0)
            lines.add("valid     " + Text.many(t.validPairs(), "pair"));
        lines.add("loss      " + loss(c));
        return new RunScreen.Header(model(c, t), Text.many(b.microBatch(), "pair") + " of at most " + b.seqLen()
                + " tokens x " + b.accumulate() + " accumulate · " + Text.many(t.steps(), "step"), lines, false);
    }

    private static String data(PreferenceTraining t) {
        return Text.many(t.trainPairs(), "pair");
    }

    private static String loss(PreferenceRunConfig c) {
        return c.preference().loss().name().toLowerCase(Locale.ROOT) + " · beta " + c.preference().beta();
    }

    static int check(Screen screen, Path file, List<String> set, int steps) {
        PreferenceRunConfig c = ConfigReader.readWithInputs(file, PreferenceRunConfig.class, set);
        screen.line(ConfigWriter.resolved(c).stripTrailing());
        screen.line("");
        Devices.Chosen device = Devices.open(c.device(), c.precision());
        try (PreferenceTraining run = new PreferenceTraining(c, device.backend())) {
            run.notes().forEach(screen::note);
            screen.line("model     " + model(c, run));
            screen.line("data      " + data(run) + " · " + Text.many(run.steps(), "step"));
            screen.line("loss      " + loss(c));
            if (steps > 0) {
                run.trial(device.backend(), steps, List.of(CheckCommand.steps(screen)));
                screen.line("steps     " + steps + " ran; nothing was written");
            }
        }
        screen.result(file + ": ok");
        return ExitCode.OK;
    }

    private static String model(PreferenceRunConfig c, PreferenceTraining run) {
        long all = run.model().parameters();
        String base = c.model().path() + " · " + Text.big(all) + " parameters";
        if (c.adapter() instanceof Full)
            return base + " · all trained";
        var adapter = run.model().adapters().getFirst();
        return base + " · adapter " + adapter.options().title() + " on " + Text.many(adapter.modules().size(), "module")
                + ", " + Text.big(adapter.parameters()) + " trained (" + Text.percent(adapter.parameters(), all) + ")";
    }
}
