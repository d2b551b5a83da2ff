package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.Skills;
import dev.gyre.trainer.data.Skills.Part;
import dev.gyre.trainer.data.Skills.Skill;
import dev.gyre.trainer.measure.ProcessMemory;
import dev.gyre.trainer.plan.RunDevice;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.run.FineTuning;
import dev.gyre.trainer.run.LanguageTraining;
import dev.gyre.trainer.run.TrainingRun;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre quickstart`: the whole walk on the shipped model.
@Command(name = "quickstart",
        description = "Fine-tune the shipped small model to a skill it does not have, show what it learned and what it forgot, and write a report. Takes about a minute.")
final class QuickstartCommand extends GyreCommand {
    private static final String RECIPE = "examples/quickstart.yaml";
    /// The skill that the shipped model was not trained on.
    private static final Skill NEW = Skill.SHIFT;
    private static final int TRAIN = 4000;
    /// Examples of each old skill among them: without any, a model this small forgets what it knew.
    private static final int REHEARSAL = 400;
    private static final int TASKS = 200;

    @Option(names = "--out", paramLabel = "DIR",
            description = "Where to put data, run and adapter (default: runs/quickstart, or runs/quickstart-2, -3, ... if it exists).")
    @Nullable
    Path out;

    @Option(names = "--set", paramLabel = "KEY=VALUE",
            description = "Replace a key of the run's configuration; may be repeated.")
    List<String> set = List.of();

    @Override
    protected int run() {
        long begun = System.nanoTime();
        Path base = found(Home.BASE_MODEL);
        Path recipe = found(RECIPE);
        Path to = out != null ? out : free(Path.of("runs/quickstart"));
        Path train = to.resolve("data/train.jsonl");
        Path valid = to.resolve("data/valid.jsonl");
        Path before = to.resolve("data/old-skills.jsonl");
        List<Example> lessons = new ArrayList<>(Skills.make(NEW, Part.TRAIN, TRAIN, 1));
        lessons.addAll(Skills.mixed(Skill.BASE, Part.TRAIN, REHEARSAL, 2));
        Collections.shuffle(lessons, new Random(1));
        Skills.write(train, lessons);
        List<Example> fresh = Skills.make(NEW, Part.HELD_OUT, TASKS, 1);
        Skills.write(valid, fresh);
        List<Example> known = Skills.mixed(Skill.BASE, Part.HELD_OUT, TASKS / 5, 1);
        Skills.write(before, known);
        Path dir = to.resolve("run");
        List<String> settings =
                new java.util.ArrayList<>(List.of("model.path=" + quoted(base), "data.train=" + quoted(train),
                        "data.valid=" + quoted(valid), "output.dir=" + quoted(dir), "results.answers=" + TASKS,
                        "results.forgetting=" + quoted(before)));
        settings.addAll(set);
        RunConfig c = ConfigReader.read(recipe, RunConfig.class, settings);
        Devices.Chosen device = RunDevice.open(c);
        screen().line("teaching " + base + " a new skill: " + NEW.word() + ", such as `"
                + ((Example.Completion) fresh.getFirst()).prompt()
                + ((Example.Completion) fresh.getFirst()).completion()
                + "`, with a little rehearsal of what it knows (" + REHEARSAL + " examples of each old skill)");
        Results.Training trained;
        double seconds;
        RunDir.check(Path.of(c.output().dir()), false);
        LanguageTraining training = FineTuning.training(c, device.backend());
        try (TrainingRun<?> run = TrainingRun.open(training, false, device.backend(), Version.number())) {
            long trainBegun = System.nanoTime();
            int code = RunScreen.train(screen(), run, device,
                    RunScreen.Header.of(training, TrainCommand.model(c, training.model())),
                    RunScreen.again("train", dir));
            seconds = (System.nanoTime() - trainBegun) / 1e9;
            if (code != ExitCode.OK)
                return code;
            trained = Results.Training.of(run);
        }
        screen().status("measuring base model and result ...");
        Results r = Results.measure(c, dir, trained, device.backend());
        Report.examine(c, dir, device.backend(), true);
        Path report = Report.write(dir);
        screen().done();
        screen().result("");
        screen().result(Text.format("%-42s %9s %9s", "", "before", "after"));
        row(NEW.word() + ", exact answers (" + TASKS + " held-out tasks)", percent(r.before().exact()),
                percent(r.after().exact()));
        row(NEW.word() + ", loss", number(r.before().loss()), number(r.after().loss()));
        row("old skills, exact answers (" + TASKS + " tasks)", percent(r.before().kept()),
                percent(r.after().kept()));
        row("old skills, loss", number(r.before().forgetting()), number(r.after().forgetting()));
        screen().result("");
        screen().result(
                "training " + Text.time(seconds) + ", everything " + Text.time((System.nanoTime() - begun) / 1e9)
                        + " · memory of the process "
                        + Text.bytes(Math.max(ProcessMemory.peakResident(), ProcessMemory.peakHeap()))
                        + " at its peak");
        screen().result("adapter (PEFT): " + dir.resolve("adapter") + " · run: " + dir);
        screen().result("report: " + report.toAbsolutePath() + " (open it in a browser)");
        String task = ((Example.Completion) fresh.getLast()).prompt();
        screen().result("try it: " + Version.called() + " generate " + dir + " --prompt \"" + task + "\"");
        screen().result(
                "        " + Version.called() + " merge " + dir + " --out " + to.resolve("merged") + " --verify");
        return ExitCode.OK;
    }

    private void row(String what, String before, String after) {
        screen().result(Text.format("%-42s %9s %9s", what, before, after));
    }

    private static String percent(@Nullable Double share) {
        return share == null ? "-" : Text.format("%.1f %%", 100 * share);
    }

    private static String number(@Nullable Double x) {
        return x == null ? "-" : Text.format("%.4f", x);
    }

    private static String quoted(Path p) {
        return "\"" + p.toString().replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    private static Path found(String name) {
        Path p = Home.find(name);
        if (p == null)
            throw new UsageException(
                    name + ": not found here nor next to the program; start gyre in its repository, or by the"
                            + " launcher there");
        return p;
    }

    private static Path free(Path wanted) {
        Path p = wanted;
        for (int i = 2; Files.exists(p); i++)
            p = wanted.resolveSibling(wanted.getFileName() + "-" + i);
        return p;
    }
}
