package dev.gyre.trainer.cli;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskPlan;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.PlanTable;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.config.TuningSettings;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.run.TrainingRun;
import dev.gyre.trainer.task.TaskScores;
import dev.gyre.trainer.task.TaskTraining;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
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
            return TrainCommand.follow(new TaskTraining(c, device.backend()), device.backend(), workers);
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
                screen.result("report    " + Report.write(dir));
                if (page != null)
                    page.is("stopped", "go on with " + again);
                return code;
            }
            if (page != null)
                page.is("measuring", "");
            Results.Scores after = training.end(run, device.backend()).after();
            if (before != null)
                screen.result("before    " + before);
            if (after.loss() != null) {
                screen.result("after     " + new TaskScores(after.loss(), Objects.requireNonNull(after.scores())));
                screen.result("report    " + dir.resolve(Report.PAGE));
            }
            if (page != null)
                page.is("finished", after.loss() == null ? "" : "the report is " + dir.resolve(Report.PAGE));
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
                run.trial(device.backend(), steps, List.of(CheckCommand.steps(screen)));
                screen.line("steps     " + steps + " ran; nothing was written");
            }
        }
        screen.result(file + ": ok");
        return ExitCode.OK;
    }

    /// @param limit a size, for the largest batch and length within it; or null
    static int plan(Screen screen, Path file, List<String> set, @Nullable String limit) {
        long most = limit == null ? 0 : PlanCommand.size(limit);
        TaskRunConfig c = ConfigReader.readWithInputs(file, TaskRunConfig.class, set);
        Backend backend = new CpuBackend();
        try (TaskTraining t = new TaskTraining(c, backend)) {
            screen.result("planned memory of every method on this run's modules (its own as configured), every base:");
            screen.result(Text.format("  %-10s %-11s %10s %8s %10s %10s %11s %10s", "method", "base", "trained",
                    "share", "weights", "trained", "activations", "together"));
            for (TaskTraining.Planned p : t.sideBySide(PlanTable.methods(), backend)) {
                TaskPlan plan = p.plan();
                if (plan == null) {
                    screen.result(Text.format("  %-10s %-11s not possible: %s", p.method(), PlanTable.word(p.base()),
                            p.impossible()));
                    continue;
                }
                Map<Role, Long> by = plan.memory().bytesByRole();
                screen.result(Text.format("  %-10s %-11s %10s %8s %10s %10s %11s %10s", p.method(),
                        PlanTable.word(p.base()), Text.big(plan.trainable()),
                        Text.percent(plan.trainable(), t.model().parameters()), Text.bytes(of(by, Role.WEIGHT)),
                        Text.bytes(of(by, Role.PARAM) + of(by, Role.GRAD) + of(by, Role.STATE)),
                        Text.bytes(of(by, Role.ACTIVATION)), Text.bytes(plan.memory().bytes())));
            }
            screen.result("");
            screen.result("the process of this run: " + Text.bytes(t.peak()));
            if (limit != null)
                screen.result("within " + limit + ": " + fitting(t, c, most));
        }
        return ExitCode.OK;
    }

    private static String fitting(TaskTraining t, TaskRunConfig c, long most) {
        boolean images = t.model().config().images();
        int batch = t.largestBatch(most);
        String at = images ? "" : " at seq_len " + t.longest();
        String batches = batch == 0 ? "no micro_batch fits" + at
                : "train.micro_batch " + batch + at + (batch == t.trainExamples() ? " (all examples)" : "");
        if (images)
            return batches;
        int length = t.largestLength(most);
        return batches + (length == 0 ? "; no seq_len fits at micro_batch " + c.train().microBatch()
                : "; train.seq_len " + length + " at micro_batch " + c.train().microBatch());
    }

    private static long of(Map<Role, Long> by, Role role) {
        return by.getOrDefault(role, 0L);
    }

    /// A run of a sweep, on a line.
    static String line(String name, TuningSettings settings) {
        TaskRunConfig c = (TaskRunConfig) settings;
        try (TaskTraining t = new TaskTraining(c, new CpuBackend())) {
            TaskPlan plan = t.plan();
            return name + Text.format("  %-6s %-10s %8s %10s %8s %10s planned", c.adapter().method(),
                    PlanTable.word(c.model().base()), Text.format("%.1e", c.train().lr()), Text.count(plan.trainable()),
                    Text.percent(plan.trainable(), t.model().parameters()), Text.bytes(plan.memory().bytes()));
        }
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
