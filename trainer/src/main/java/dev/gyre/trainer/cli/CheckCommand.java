package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.PlanTable;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.measure.ProcessMemory;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.plan.RunDevice;
import dev.gyre.trainer.plan.RunPlan;
import dev.gyre.trainer.report.Sweep;
import dev.gyre.trainer.run.FineTuning;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre check`: everything that can be known of a run before it starts.
@Command(name = "check",
        description = "Validate a configuration and show what it means: trainable parameters, batches, memory. With --steps it also trains that many steps and writes nothing. Of a sweep: every run with its trainable parameters and memory.")
final class CheckCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "RUN.yaml",
            description = "Configuration of gyre train, gyre pretrain or gyre sweep.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--set", paramLabel = "KEY=VALUE",
            description = "Replace a key of the configuration, such as train.lr=3e-4; may be repeated.")
    List<String> set = new ArrayList<>();

    @Option(names = "--steps", paramLabel = "N", defaultValue = "0",
            description = "Train N steps of the run and write nothing (default: none).")
    int steps;

    @Option(names = "--full", description = "First print the whole configuration, every key with its value.")
    boolean full;

    private final List<String> notes = new ArrayList<>();

    @Override
    protected int run() {
        if (steps < 0)
            throw new UsageException("--steps must be at least 0");
        if (ConfigReader.has(file, "run"))
            return sweep();
        if (ConfigReader.has(file, "preference"))
            return PreferenceScreen.check(screen(), file, set, steps);
        if (ConfigReader.has(file, "task"))
            return TaskScreen.check(screen(), file, set, steps);
        RunConfig c;
        try {
            c = ConfigReader.readWithInputs(file, RunConfig.class, set);
        } catch (ConfigException e) {
            return pretrain(e);
        }
        resolved(c);
        Devices.Chosen device = RunDevice.open(c);
        try (ModelText text = ModelText.load(c)) {
            RunData data = RunData.readAll(c, text);
            show(c, device, data, text);
            notes.addAll(ModelRef.warnings(c.model().directory()));
        }
        if (steps > 0) {
            FineTuning.trial(c, device.backend(), steps, List.of(steps(screen())));
            screen().line("steps     " + steps + " ran; nothing was written · peak of this process "
                    + Text.bytes(ProcessMemory.peakResident()));
        }
        // last, where they are seen
        notes.forEach(n -> screen().note("note: " + n));
        screen().result(file + ": ok" + (notes.isEmpty() ? "" : ", " + Text.many(notes.size(), "note")));
        return ExitCode.OK;
    }

    private void resolved(Record c) {
        if (!full)
            return;
        screen().line(ConfigWriter.resolved(c).stripTrailing());
        screen().line("");
    }

    /// Every run of a sweep, a line each.
    private int sweep() {
        if (steps > 0)
            throw new UsageException("--steps is for one run; this is a sweep (gyre sweep " + file + " --dry-run lists"
                    + " what is done and to do)");
        try (Sweep sweep = Sweep.read(file, set)) {
            int width = sweep.runs().stream().mapToInt(r -> r.name().length()).max().orElse(1);
            screen().line(Text.format("%-" + width + "s  %-6s %-10s %8s %10s %8s %10s", "run", "method", "base", "lr",
                    "trained", "share", "process"));
            int impossible = 0;
            // most runs of a sweep read the same examples
            Map<List<Object>, RunData.Load> known = new HashMap<>();
            for (Sweep.Run run : sweep.runs()) {
                if (!(run.config() instanceof RunConfig c)) {
                    screen().result(TaskScreen.line(Text.format("%-" + width + "s", run.name()), run.config()));
                    continue;
                }
                RunData.Load load = known.computeIfAbsent(
                        List.of(c.model().path(), c.data(), c.train().microBatch(), c.train().seqLen(), c.eval()),
                        _ -> RunPlan.load(c));
                RunPlan.Row own = RunPlan.with(c, Runtime.getRuntime().availableProcessors(),
                        plan -> plan.own(load));
                MemoryEstimate m = own.memory();
                String head = Text.format("%-" + width + "s  %-6s %-10s %8s ", run.name(), own.method(),
                        PlanTable.word(own.base()), Text.format("%.1e", c.train().lr()));
                if (m == null)
                    impossible++;
                screen().result(m == null ? head + "not possible: " + own.impossible()
                        : head + Text.format("%10s %8s %10s", Text.count(own.trained()),
                                Text.percent(own.trained(), own.parameters()), Text.bytes(m.total())));
            }
            screen().result(file + ": " + (impossible == 0 ? "ok, " : impossible + " not possible of ")
                    + Text.many(sweep.runs().size(), "run") + " into " + sweep.folder());
            return impossible == 0 ? ExitCode.OK : ExitCode.USAGE;
        }
    }

    private void show(RunConfig c, Devices.Chosen device, RunData data, ModelText text) {
        RunConfig.Train t = c.train();
        screen().line("device    " + device.backend().describe() + " (" + device.reason() + ")");
        long perStep = (long) t.microBatch() * t.accumulate() * t.seqLen();
        TokenizedSet s = data.train();
        long rows = (long) c.rowsPerStep() * data.steps();
        screen().line("batch     " + t.microBatch() + " rows x " + t.accumulate() + " accumulated x " + t.seqLen()
                + " tokens = " + Text.count(perStep) + " tokens/step");
        screen().line("steps     " + Text.count(data.steps()) + " = "
                + Text.format("%.2f", rows / (double) Math.max(1, data.batches().epochRows())) + " epochs of "
                + Text.many(data.batches().epochRows(), "row") + " = " + Text.big((double) perStep * data.steps())
                + " tokens");
        screen().line(
                "data      " + Text.many(s.size(), "example") + " · " + Text.count(s.truncated()) + " truncated · "
                        + Text.count(s.dropped()) + " dropped · " + Text.percent(s.targets(), s.tokens())
                        + " of tokens trained");
        notes.addAll(data.notes(c));
        Path out = Path.of(c.output().dir());
        if (Files.exists(out))
            notes.add(out + " exists; a new run needs another output.dir, or go on with --resume");
        RunPlan.with(c, Runtime.getRuntime().availableProcessors(), plan -> {
            RunData.Load load = data.load(plan.context(), text);
            RunPlan.Row own = plan.own(load);
            MemoryEstimate m = own.memory();
            if (m == null)
                throw new ConfigException(file + ": " + own.impossible());
            screen().line("model     " + c.model().path() + " · " + Text.big(own.parameters()) + " parameters");
            screen().line("trained   " + own.method() + ": " + Text.count(own.trained()) + " parameters ("
                    + Text.percent(own.trained(), own.parameters()) + ")"
                    + (own.modules() == 0 ? "" : " on " + Text.many(own.modules(), "module")));
            notes.addAll(own.notes());
            if (t.seqLen() > plan.context())
                notes.add("train.seq_len " + t.seqLen() + " is longer than the model's context of "
                        + plan.context());
            screen().line("");
            screen().line("memory");
            PlanTable.parts(m, plan.device()).forEach(screen()::line);
            screen().line("");
            screen().line("other methods at their defaults, over the same base");
            for (RunPlan.Row r : plan.methods(PlanTable.methods(), load))
                screen().line(r.memory() == null ? Text.format("  %-10s %s", r.method(), r.impossible())
                        : Text.format("  %-10s %12s trained (%s) · process %s", r.method(), Text.count(r.trained()),
                                Text.percent(r.trained(), r.parameters()), Text.bytes(r.memory().total())));
            screen().line("");
            return 0;
        });
    }

    /// The file may be for `gyre pretrain`; the first complaint counts when it is for neither.
    private int pretrain(ConfigException first) {
        PretrainConfig c;
        try {
            c = ConfigReader.readWithInputs(file, PretrainConfig.class, set);
        } catch (ConfigException e) {
            throw String.valueOf(first.getMessage()).contains("'adapter.method' is missing")
                    ? new ConfigException(
                            first.getMessage() + "\n  is it what the runs of a sweep share? Then check the"
                                    + " sweep's file, or add --set adapter.method=oft")
                    : first;
        }
        resolved(c);
        if (steps > 0)
            throw new UsageException("--steps is for configurations of gyre train; this one is for gyre pretrain");
        RunConfig.Train t = c.train();
        screen().line("batch     " + t.microBatch() + " rows x " + t.accumulate() + " accumulated x " + t.seqLen()
                + " tokens = " + Text.count((long) t.microBatch() * t.accumulate() * t.seqLen()) + " tokens/step");
        screen().result(file + ": ok, a configuration of gyre pretrain");
        return ExitCode.OK;
    }

    /// Shows each step that is tried.
    static TrainListener steps(Screen screen) {
        return new TrainListener() {
            @Override
            public void onStep(Step s) {
                screen.line(Text.format("step %d     loss %.4f · |grad| %.3f · %.2f s", s.t(), s.loss(), s.gradNorm(),
                        s.seconds()));
            }
        };
    }
}
