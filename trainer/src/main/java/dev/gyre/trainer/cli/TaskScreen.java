package dev.gyre.trainer.cli;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskPlan;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Interrupt;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.run.Follower;
import dev.gyre.trainer.run.TrainingRun;
import dev.gyre.trainer.task.TaskScores;
import dev.gyre.trainer.task.TaskTraining;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What `gyre train` and `gyre check` do with a run.yaml that has a section `task`.
final class TaskScreen {
    private TaskScreen() {
    }

    /// @param watch port of the run's page; null for none
    static int train(Screen screen, Path file, List<String> set, boolean resume, @Nullable Integer watch,
            Collective workers) {
        TaskRunConfig c = ConfigReader.readWithInputs(file, TaskRunConfig.class, set);
        Devices.Chosen device = Devices.open(Launcher.device(c.device()), c.precision());
        if (workers.rank() > 0)
            try (TaskTraining training = new TaskTraining(c, device.backend());
                    Interrupt interrupt = Interrupt.ofWorker()) {
                        return Follower.run(training, device.backend(), workers, Version.number(), interrupt::requested)
                                .finished() ? ExitCode.OK : ExitCode.INTERRUPTED;
                    }
        try (LivePage page = watch == null ? null : new LivePage(watch, c)) {
            return train(screen, c, device, resume, page, workers);
        }
    }

    private static int train(Screen screen, TaskRunConfig c, Devices.Chosen device, boolean resume,
            @Nullable LivePage page, Collective workers) {
        RunDir.check(Path.of(c.output().dir()), resume);
        TaskTraining training = new TaskTraining(c, device.backend());
        try (TrainingRun<TaskBatch> run =
                TrainingRun.open(training, resume, device.backend(), Version.number(), workers)) {
            Path dir = run.dir().path();
            if (page != null)
                screen.note("watch     " + page.start(dir, run.steps()));
            TaskScores before = training.begin(run);
            String again = RunScreen.again("train", dir);
            int code = RunScreen.train(screen, run, device, header(c, training), again);
            if (code != ExitCode.OK) {
                if (page != null)
                    page.is("stopped", "go on with " + again);
                return code;
            }
            if (page != null)
                page.is("measuring", "");
            TaskScores after = training.end(run);
            if (before != null)
                screen.result("before    " + before);
            if (after != null) {
                screen.result("after     " + after);
                screen.result("report    " + dir.resolve(Report.PAGE));
            }
            if (page != null)
                page.is("finished", after == null ? "" : "the report is " + dir.resolve(Report.PAGE));
            return code;
        } catch (RuntimeException e) {
            if (page != null)
                page.is("stopped", Errors.message(e));
            throw e;
        }
    }

    private static RunScreen.Header header(TaskRunConfig c, TaskTraining t) {
        RunConfig.Train b = c.train();
        String what = t.model().config().images() ? "image" : "example";
        List<String> lines = new ArrayList<>(List.of("data      " + data(t)));
        if (t.validExamples() > 0)
            lines.add("valid     " + Text.many(t.validExamples(), what));
        return new RunScreen.Header(model(c, t), Text.many(b.microBatch(), what)
                + (t.model().config().images() ? "" : " of at most " + t.longest() + " tokens") + " x " + b.accumulate()
                + " accumulate · " + Text.many(t.steps(), "step"), lines, false);
    }

    private static String data(TaskTraining t) {
        List<String> names = t.names();
        return Text.many(t.trainExamples(), t.model().config().images() ? "image" : "example")
                + (names.isEmpty() ? "" : " · " + Text.many(names.size(), "label") + ": "
                        + String.join(", ", names.subList(0, Math.min(8, names.size())))
                        + (names.size() > 8 ? ", ..." : ""));
    }

    static int check(Screen screen, Path file, List<String> set, int steps) {
        TaskRunConfig c = ConfigReader.readWithInputs(file, TaskRunConfig.class, set);
        screen.line(ConfigWriter.resolved(c).stripTrailing());
        screen.line("");
        Devices.Chosen device = Devices.open(c.device(), c.precision());
        try (TaskTraining run = new TaskTraining(c, device.backend())) {
            run.notes().forEach(screen::note);
            screen.line("model     " + model(c, run));
            screen.line("data      " + data(run) + " · " + Text.many(run.steps(), "step"));
            TaskPlan plan = run.plan();
            screen.line("memory    " + Text.bytes(plan.memory().bytes()) + " planned · " + Text.big(plan.flops())
                    + " flop a step");
            if (steps > 0) {
                run.trial(device.backend(), steps, List.of(new TrainListener() {
                    @Override
                    public void onStep(Step s) {
                        screen.line(Text.format("step %d     loss %.4f · |grad| %.3f · %.2f s", s.t(), s.loss(),
                                s.gradNorm(), s.seconds()));
                    }
                }));
                screen.line("steps     " + steps + " ran; nothing was written");
            }
        }
        screen.result(file + ": ok");
        return ExitCode.OK;
    }

    private static String model(TaskRunConfig c, TaskTraining run) {
        long all = run.model().parameters();
        String base = c.model().path() + " · " + Text.big(all) + " parameters";
        var adapter = run.adapter();
        if (adapter == null)
            return base + " · all trained";
        return base + " · adapter " + adapter.options().title() + " on " + Text.many(adapter.modules().size(), "module")
                + ", " + Text.big(adapter.parameters()) + " trained (" + Text.percent(adapter.parameters(), all) + ")";
    }
}
