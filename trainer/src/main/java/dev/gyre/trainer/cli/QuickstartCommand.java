package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.Skills;
import dev.gyre.trainer.data.Skills.Part;
import dev.gyre.trainer.data.Skills.Skill;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.measure.Evaluation;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.measure.ProcessMemory;
import dev.gyre.trainer.run.FineTuning;
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
        description = "Fine-tune the shipped small model to a skill it does not have, and show what it learned and what it forgot. Takes about a minute.")
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

    private record Scores(Evaluation.Answers newSkill, double newLoss, double oldLoss, Evaluation.Answers old) {
    }

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
                        "data.valid=" + quoted(valid), "output.dir=" + quoted(dir)));
        settings.addAll(set);
        RunConfig c = ConfigReader.read(recipe, RunConfig.class, settings);
        Devices.Chosen device = Devices.open(c.device(), c.precision());
        screen().line("teaching " + base + " a new skill: " + NEW.word() + ", such as `"
                + ((Example.Completion) fresh.getFirst()).prompt()
                + ((Example.Completion) fresh.getFirst()).completion()
                + "`, with a little rehearsal of what it knows (" + REHEARSAL + " examples of each old skill)");
        Scores first =
                scores(new ModelRef(base, List.of()).load(), base, device.backend(), valid, fresh, before, known);
        int code;
        double seconds;
        try (TrainingRun run = FineTuning.open(c, false, device.backend(), Version.number())) {
            long trainBegun = System.nanoTime();
            code = RunScreen.train(screen(), run, device, TrainCommand.model(c, run),
                    RunScreen.again("train", dir));
            seconds = (System.nanoTime() - trainBegun) / 1e9;
            if (code != ExitCode.OK)
                return code;
        }
        Scores last =
                scores(new ModelRef(base, List.of(dir.resolve("adapter"))).load(), base, device.backend(), valid, fresh,
                        before, known);
        screen().result("");
        screen().result(Text.format("%-42s %9s %9s", "", "before", "after"));
        row(NEW.word() + ", exact answers (" + first.newSkill.all() + " held-out tasks)", percent(first.newSkill),
                percent(last.newSkill));
        row(NEW.word() + ", loss", number(first.newLoss), number(last.newLoss));
        row("old skills, exact answers (" + first.old.all() + " tasks)", percent(first.old), percent(last.old));
        row("old skills, loss", number(first.oldLoss), number(last.oldLoss));
        screen().result("");
        screen().result(
                "training " + Text.time(seconds) + ", everything " + Text.time((System.nanoTime() - begun) / 1e9)
                        + " · memory of the process "
                        + Text.bytes(Math.max(ProcessMemory.peakResident(), ProcessMemory.peakHeap()))
                        + " at its peak");
        screen().result("adapter (PEFT): " + dir.resolve("adapter") + " · run: " + dir);
        String task = ((Example.Completion) fresh.getLast()).prompt();
        screen().result("try it: " + Version.called() + " generate " + dir + " --prompt \"" + task + "\"");
        screen().result(
                "        " + Version.called() + " merge " + dir + " --out " + to.resolve("merged") + " --verify");
        return ExitCode.OK;
    }

    private Scores scores(Transformer model, Path base, Backend backend, Path valid, List<Example> fresh, Path before,
            List<Example> known) {
        screen().status("measuring ...");
        ModelText text = ModelText.load(base);
        Scores s = new Scores(Evaluation.answers(model, backend, fresh, text), loss(model, backend, valid, text),
                loss(model, backend, before, text), Evaluation.answers(model, backend, known, text));
        screen().done();
        return s;
    }

    private static double loss(Transformer model, Backend backend, Path file, ModelText text) {
        int T = 128;
        return Evaluation.loss(model, backend, TokenizedSet.read(file, new TokenizedSet.Rules(RunConfig.Format.JSONL,
                RunConfig.TrainOn.COMPLETION, RunConfig.TooLong.TRUNCATE, T), text), 8, T).loss();
    }

    private void row(String what, String before, String after) {
        screen().result(Text.format("%-42s %9s %9s", what, before, after));
    }

    private static String percent(Evaluation.Answers a) {
        return Text.format("%.1f %%", 100 * a.share());
    }

    private static String number(double x) {
        return Text.format("%.4f", x);
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
