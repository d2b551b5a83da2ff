package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.task.TaskPlan;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.task.TaskRun;
import java.nio.file.Path;
import java.util.List;

/// What `gyre train` and `gyre check` do with a run.yaml that has a section `task`.
final class TaskScreen {
    private TaskScreen() {
    }

    static int train(Screen screen, Path file, List<String> set, boolean resume) {
        TaskRunConfig c = ConfigReader.readWithInputs(file, TaskRunConfig.class, set);
        if (resume)
            throw new ConfigException(file + ": runs with a task write no checkpoints, so there is nothing to resume;"
                    + " start it again in another output.dir");
        RunDir.check(Path.of(c.output().dir()), false);
        Devices.Chosen device = Devices.open(c.device(), c.precision());
        try (TaskRun run = new TaskRun(c, device.backend())) {
            run.warnings().forEach(screen::note);
            screen.line(model(c, run));
            TaskRun.Outcome o = run.train(device.backend(), Version.number(), screen::line);
            if (o.before() != null)
                screen.result("before    " + TaskRun.text(o.before()));
            if (o.after() != null)
                screen.result("after     " + TaskRun.text(o.after()));
            screen.result("result    " + o.dir());
        }
        return ExitCode.OK;
    }

    static int check(Screen screen, Path file, List<String> set, int steps) {
        TaskRunConfig c = ConfigReader.readWithInputs(file, TaskRunConfig.class, set);
        screen.line(ConfigWriter.resolved(c).stripTrailing());
        screen.line("");
        Devices.Chosen device = Devices.open(c.device(), c.precision());
        try (TaskRun run = new TaskRun(c, device.backend())) {
            run.warnings().forEach(screen::note);
            screen.line(model(c, run));
            screen.line("examples  " + run.examples() + " · " + run.steps() + " steps"
                    + (run.names().isEmpty() ? "" : " · " + Text.many(run.names().size(), "label") + ": "
                            + String.join(", ", run.names().subList(0, Math.min(8, run.names().size())))
                            + (run.names().size() > 8 ? ", ..." : "")));
            TaskPlan plan = run.plan();
            screen.line("memory    " + Text.bytes(plan.memory().bytes()) + " planned · " + Text.big(plan.flops())
                    + " flop a step");
            if (steps > 0) {
                run.trial(device.backend(), steps, screen::line);
                screen.line("steps     " + steps + " ran; nothing was written");
            }
        }
        screen.result(file + ": ok");
        return ExitCode.OK;
    }

    private static String model(TaskRunConfig c, TaskRun run) {
        long all = run.model().parameters();
        String base = "model     " + c.model().path() + " · " + Text.big(all) + " parameters";
        var adapter = run.adapter();
        if (adapter == null)
            return base + " · all trained";
        return base + " · adapter " + adapter.options().title() + " on " + Text.many(adapter.modules().size(), "module")
                + ", " + Text.big(adapter.parameters()) + " trained (" + Text.percent(adapter.parameters(), all) + ")";
    }
}
