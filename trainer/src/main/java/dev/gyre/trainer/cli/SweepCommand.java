package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Interrupt;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.report.Comparison;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.report.Sweep;
import java.io.BufferedReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre sweep`: many runs, one after the other, each in a process of its own: so its largest memory is its own, its code
/// is compiled for it alone, and what ends it (memory, a bug) does not end the sweep.
@Command(name = "sweep",
        description = "Train many configurations one after the other (methods, bases, learning rates, ranks, ...), each in a process of its own. Started again after any interruption it goes on where it was. A run that fails is noted and the rest goes on.",
        footer = {"", "Example of a sweep.yaml:", "", "  run: run.yaml                 # what all runs share",
            "  output: runs/sweep", "  set: {train.steps: 150}", "  runs:",
            "    oft:  {adapter.method: oft, adapter.block_size: 32, train.lr: 4e-3}",
            "    lora: {adapter.method: lora, adapter.r: 16, train.lr: 2e-3}",
            "  grid: {model.base: [f32, nf4]}", "  skip: [{adapter.method: lora, model.base: nf4}]"})
final class SweepCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "SWEEP.yaml", description = "What to run.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--set", paramLabel = "KEY=VALUE",
            description = "Replace a key in all runs, such as train.steps=50; may be repeated.")
    List<String> set = new ArrayList<>();

    @Option(names = "--dry-run", description = "List the runs and how far they are; run nothing.")
    boolean dryRun;

    @Option(names = "--retry", description = "Run again, from the start, what failed before.")
    boolean retry;

    @Override
    protected int run() throws IOException {
        try (Sweep sweep = Sweep.read(file, set)) {
            if (dryRun) {
                sweep.checkOwn();
                for (Sweep.Run r : sweep.runs())
                    screen().result(Text.format("%-12s %s", word(sweep.state(r)), r.name()));
                screen().result(Text.many(sweep.runs().size(), "run") + " in " + sweep.folder());
                return ExitCode.OK;
            }
            return train(sweep);
        }
    }

    private static String word(Sweep.State s) {
        return switch (s) {
            case NEW -> "to do";
            case INTERRUPTED -> "interrupted";
            case DONE -> "done";
            case FAILED -> "failed";
        };
    }

    private int train(Sweep sweep) throws IOException {
        sweep.lock();
        int n = sweep.runs().size();
        int failed = 0;
        try (Interrupt interrupt = Interrupt.ofRun(screen())) {
            for (int i = 0; i < n; i++) {
                Sweep.Run r = sweep.runs().get(i);
                String head = Text.format("%" + String.valueOf(n).length() + "d/%d  %s", i + 1, n, r.name());
                Sweep.State state = sweep.state(r);
                if (state == Sweep.State.DONE) {
                    screen().line(head + "  done before");
                    continue;
                }
                if (state == Sweep.State.FAILED && !retry) {
                    screen().line(
                            head + "  failed before: " + sweep.failures().get(r.name()) + " (--retry runs it again)");
                    failed++;
                    continue;
                }
                if (state == Sweep.State.FAILED)
                    sweep.discard(r);
                long begun = System.nanoTime();
                String why = runOne(sweep, r, head);
                String wall = Text.time((System.nanoTime() - begun) / 1e9);
                if (interrupt.requested()) {
                    screen().result("stopped · go on: " + Version.called() + " sweep " + file);
                    return ExitCode.INTERRUPTED;
                }
                if (why.isEmpty()) {
                    sweep.failed(r, null);
                    screen().line(head + "  " + summary(Objects.requireNonNull(Results.read(r.dir()))) + " · " + wall);
                } else {
                    sweep.failed(r, why);
                    failed++;
                    screen().note(head + "  FAILED: " + why + " (" + sweep.log(r) + ")");
                }
            }
        }
        Comparison c = Comparison.of(List.of(sweep.folder()), null);
        screen().result("");
        c.table().text(false).forEach(screen()::result);
        screen().result("");
        screen().result(
                n - failed + " of " + Text.many(n, "run") + " done" + (failed == 0 ? "" : ", " + failed + " failed")
                        + " · " + Version.called() + " compare " + sweep.folder() + " shows them side by side");
        return failed == 0 ? ExitCode.OK : ExitCode.FAILURE;
    }

    private static String summary(Results r) {
        Results.Scores a = r.after();
        return (a.exact() == null ? "" : Text.format("exact %.1f %% · ", 100 * a.exact()))
                + (a.loss() == null ? "" : Text.format("loss %.4f · ", a.loss())) + first(a.scores())
                + Text.format("%.0f ms/step", 1e3 * r.stepSeconds());
    }

    private static String first(@Nullable Map<String, Double> scores) {
        return scores == null ? "" : scores.entrySet().stream().limit(1)
                .map(e -> Text.format("%s %.4f · ", e.getKey(), e.getValue())).collect(Collectors.joining());
    }

    /// Trains one run in a process of its own; returns why it failed, or nothing.
    private String runOne(Sweep sweep, Sweep.Run r, String head) throws IOException {
        boolean resume = sweep.prepare(r);
        List<String> command =
                new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        for (String option : ManagementFactory.getRuntimeMXBean().getInputArguments())
            if (!option.startsWith("-agentlib") && !option.startsWith("-javaagent"))
                command.add(option);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName(), "train",
                sweep.config(r).toString(), "--with-parent"));
        if (resume)
            command.add("--resume");
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        String error = "";
        try (BufferedReader out = p.inputReader(StandardCharsets.UTF_8);
                var log = Files.newBufferedWriter(sweep.log(r), StandardCharsets.UTF_8, StandardOpenOption.CREATE,
                        StandardOpenOption.APPEND)) {
            for (String line = out.readLine(); line != null; line = out.readLine()) {
                log.write(line);
                log.newLine();
                log.flush();
                if (line.startsWith("gyre: "))
                    error = line.substring(6);
                screen().status(head + "  " + line.strip());
            }
            int code = p.waitFor();
            screen().done();
            return code == ExitCode.OK ? "" : error.isEmpty() ? "exit code " + code : error;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "interrupted";
        } finally {
            p.destroy();
        }
    }
}
