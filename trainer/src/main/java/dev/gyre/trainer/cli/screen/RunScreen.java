package dev.gyre.trainer.cli.screen;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.measure.ProcessMemory;
import dev.gyre.trainer.record.MetricsLines;
import dev.gyre.trainer.run.LanguageTraining;
import dev.gyre.trainer.run.TrainingRun;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// What a training command shows: header, table, footer.
public final class RunScreen {
    private RunScreen() {
    }

    /// What a run trains, and on what, for its header.
    ///
    /// @param lines of the data, each with its name at the front
    /// @param sampled whether the validation loss is that of a sample while training
    public record Header(String model, String batch, List<String> lines, boolean sampled) {
        /// Of a language model.
        public static Header of(LanguageTraining t, String model) {
            RunConfig.Train c = t.config().train();
            long perStep = (long) c.microBatch() * c.seqLen() * c.accumulate();
            List<String> lines = new ArrayList<>(List.of("data      " + data(t.data(), c)));
            TokenizedSet valid = t.data().valid();
            if (valid != null)
                lines.add("valid     " + Text.many(valid.size(), "example") + " · "
                        + Text.count(valid.targets()) + " trained tokens"
                        + (valid.truncated() + valid.dropped() == 0 ? ""
                                : " · " + Text.count(valid.truncated()) + " truncated · " + Text.count(valid.dropped())
                                        + " dropped")
                        + (t.sampled().isEmpty() ? ""
                                : " · while training a sample of " + Text.count(t.sampled().getAsLong())
                                        + " tokens (eval.batches " + t.config().eval().batches() + ")"));
            return new Header(model,
                    c.microBatch() + " x " + c.seqLen() + " tokens x " + c.accumulate() + " accumulate = "
                            + Text.count(perStep) + " tokens/step · " + Text.many(t.steps(), "step") + " = "
                            + Text.big((double) perStep * t.steps()) + " tokens",
                    lines, t.sampled().isPresent());
        }

        private static String data(RunData d, RunConfig.Train t) {
            TokenizedSet s = d.train();
            long used = s.tokens() - s.size();
            return Text.many(s.size(), "example") + " · " + Text.count(s.truncated()) + " truncated · "
                    + Text.count(s.dropped()) + " dropped · " + Text.percent(s.targets(), s.tokens())
                    + " of tokens trained · "
                    + Text.many(d.batches().epochRows(), "row") + " an epoch, "
                    + Text.percent(used, (double) d.batches().epochRows() * t.seqLen()) + " filled";
        }
    }

    /// Runs to the end or to Ctrl-C and returns the exit code.
    ///
    /// @param again the command that resumes
    public static int train(Screen screen, TrainingRun<?> run, Devices.Chosen device, Header header, String again) {
        screen.log(run.dir().log());
        try {
            header(screen, run, device, header);
            long begun = System.nanoTime();
            TrainLoop.Result r;
            try (Interrupt interrupt = Interrupt.ofRun(screen)) {
                screen.line(Progress.heading());
                r = run.run(List.of(screen.isJson() ? new MetricsLines(screen::data)
                        : new Progress(screen, run.from(), run.steps(), run.config().output().logEvery())),
                        interrupt::requested);
            }
            String wall = Text.time((System.nanoTime() - begun) / 1e9);
            if (!r.finished()) {
                screen.result("stopped after step " + r.step()
                        + (r.saved() == null ? "" : ", saved " + r.saved()) + " · resume: " + again);
                return ExitCode.INTERRUPTED;
            }
            screen.result((run.from() >= run.steps() ? "the run was complete; wrote " : "wrote ") + run.result()
                    + (Double.isNaN(r.loss()) ? "" : Text.format(" · loss %.4f", r.loss()))
                    + (r.early() ? " · stopped early at step " + r.step() : "")
                    + (r.bestLoss() == null ? ""
                            : Text.format(" · best validation%s %.4f at step %d",
                                    header.sampled() ? " (sample)" : "", r.bestLoss(), r.bestStep()))
                    + " · wall " + wall + " · peak of the process "
                    + Text.bytes(Math.max(ProcessMemory.peakResident(), ProcessMemory.peakHeap()))
                    + (onCpu(device.backend()) ? ""
                            : " · " + Text.bytes(run.session().bytes()) + " on " + device.backend().name()));
            screen.requireLogged();
            return ExitCode.OK;
        } finally {
            screen.done();
            screen.log(null);
        }
    }

    private static void header(Screen screen, TrainingRun<?> run, Devices.Chosen device, Header header) {
        Backend backend = device.backend();
        screen.line("gyre " + Version.number() + " · run " + run.config().output().dir() + " · seed "
                + run.config().seed() + " · JDK "
                + Runtime.version());
        screen.line("device    " + backend.describe() + " (" + device.reason() + ")");
        screen.line("model     " + header.model());
        if (run.workers().size() > 1)
            screen.line("workers   " + run.workersText());
        screen.line("batch     " + header.batch());
        Map<Role, Long> by = run.session().bytesByRole();
        screen.line("memory    planned " + Text.bytes(run.session().plannedBytes()) + ": weights "
                + Text.bytes(of(by, Role.WEIGHT)) + ", trained with gradients and AdamW "
                + Text.bytes(of(by, Role.PARAM) + of(by, Role.GRAD) + of(by, Role.STATE)) + ", activations "
                + Text.bytes(of(by, Role.ACTIVATION))
                + (onCpu(backend) ? " · process about " + Text.bytes(run.expectedPeak())
                        : " · on " + backend.name() + " also workspaces of its kernels"));
        header.lines().forEach(screen::line);
        for (String note : run.notes())
            screen.line("note      " + note);
        if (run.from() > 0)
            screen.line("resume    from " + run.dir().checkpoint(run.from()));
    }

    private static boolean onCpu(Backend backend) {
        return backend instanceof CpuBackend;
    }

    private static long of(Map<Role, Long> by, Role role) {
        return by.getOrDefault(role, 0L);
    }

    /// `./gyre train runs/x/run.yaml --resume`
    public static String again(String command, Path run) {
        return Version.called() + " " + command + " " + run.resolve("run.yaml") + " --resume";
    }
}
