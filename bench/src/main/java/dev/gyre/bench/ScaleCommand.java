package dev.gyre.bench;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.cli.GyreCommand;
import dev.gyre.trainer.cli.Launcher;
import dev.gyre.trainer.cli.UsageException;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.record.Provenance;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// `gyre bench scale`: how much faster a step is with more workers of this machine.
@Command(name = "scale", description = {
    "Time the steps of a run with several numbers of workers, taking turns, each worker with the same number of threads.",
    "Efficiency is the time of one worker over N times the time of N workers."})
final class ScaleCommand extends GyreCommand {
    /// Steps at the start that are not timed: the JVM compiles.
    private static final int WARM_UP = 3;

    @Parameters(index = "0", paramLabel = "RUN.yaml",
            description = "The run; nothing of it is kept.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--workers", paramLabel = "N", split = ",", defaultValue = "1,2",
            description = "Numbers of workers. Default: ${DEFAULT-VALUE}.")
    List<Integer> workers = List.of(1, 2);

    @Option(names = "--threads", paramLabel = "N", defaultValue = "1",
            description = "Threads of each worker. Default: ${DEFAULT-VALUE}.")
    int threads = 1;

    @Option(names = "--steps", paramLabel = "N", defaultValue = "12",
            description = "Steps of each run, of which the first 3 are not timed. Default: ${DEFAULT-VALUE}.")
    int steps = 12;

    @Option(names = "--rounds", paramLabel = "N", defaultValue = "3",
            description = "Runs of each number of workers. Default: ${DEFAULT-VALUE}.")
    int rounds = 3;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Replace a key of the configuration.")
    List<String> set = new ArrayList<>();

    @Option(names = "--json", description = "One JSON object instead of the table.")
    boolean json;

    /// Medians over all rounds.
    private record Row(int workers, double step, double exchanging, double waiting) {
    }

    @Override
    protected int run() throws IOException {
        if (steps <= WARM_UP || rounds < 1 || threads < 1 || workers.stream().anyMatch(n -> n < 1))
            throw new UsageException(
                    "give --steps of more than " + WARM_UP + ", and --rounds, --threads and --workers of"
                            + " at least 1");
        List<List<Row>> all = new ArrayList<>();
        workers.forEach(_ -> all.add(new ArrayList<>()));
        Path dir = Files.createTempDirectory("gyre-scale");
        try {
            for (int round = 0; round < rounds; round++)
                for (int i = 0; i < workers.size(); i++) {
                    screen().status("round " + (round + 1) + " of " + rounds + ", " + workers.get(i) + " workers ...");
                    all.get(i).add(time(workers.get(i), dir.resolve(round + "-" + i)));
                }
        } finally {
            AtomicFiles.delete(dir);
        }
        screen().done();
        List<Row> rows = all.stream().map(ScaleCommand::median).toList();
        if (json)
            screen().result(json(rows));
        else
            table(rows).forEach(screen()::result);
        return ExitCode.OK;
    }

    private Row time(int n, Path run) throws IOException {
        List<String> command = new ArrayList<>(Launcher.self("train", file.toString(), "--quiet"));
        for (String s : set)
            command.addAll(List.of("--set", s));
        for (String s : List.of("output.dir=" + run, "output.checkpoint_every=0", "output.tensorboard=false",
                "eval.every=0", "results.answers=0", "results.report=false", "train.steps=" + steps, "train.warmup=0",
                "device=cpu:" + threads))
            command.addAll(List.of("--set", s));
        command.addAll(List.of("--workers", Integer.toString(n)));
        Path log = run.resolveSibling(run.getFileName() + ".txt");
        int code;
        try {
            code = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start().waitFor();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InputException("interrupted");
        }
        if (code != 0)
            throw new InputException(n + " workers ended with exit code " + code + ": " + Files.readString(log).lines()
                    .filter(l -> l.startsWith("gyre: ")).findFirst().orElse("no message"));
        double[] seconds = Metrics.read(run.resolve("metrics.jsonl")).with("grad_norm").stream()
                .filter(o -> o.path("step").asInt() > WARM_UP).mapToDouble(o -> o.path("seconds").asDouble()).toArray();
        double exchanging = 0;
        double waiting = 0;
        for (JsonNode w : Json.readObject(run.resolve(Provenance.FILE)).path("worker_seconds")) {
            exchanging = Math.max(exchanging, w.path("exchanging").asDouble() / steps);
            waiting = Math.max(waiting, w.path("waiting").asDouble() / steps);
        }
        return new Row(n, Stats.median(seconds), exchanging, waiting);
    }

    private static Row median(List<Row> of) {
        return new Row(of.getFirst().workers, Stats.median(of.stream().mapToDouble(Row::step).toArray()),
                Stats.median(of.stream().mapToDouble(Row::exchanging).toArray()),
                Stats.median(of.stream().mapToDouble(Row::waiting).toArray()));
    }

    private static double efficiency(Row one, Row r) {
        return one.step * one.workers / (r.workers * r.step);
    }

    private List<String> table(List<Row> rows) {
        List<String> out = new ArrayList<>();
        out.add(Text.format("%8s %10s %11s %12s %11s", "workers", "step", "efficiency", "exchanging", "waiting"));
        for (Row r : rows)
            out.add(Text.format("%8d %8.3f s %11.3f %10.4f s %9.4f s", r.workers, r.step,
                    efficiency(rows.getFirst(), r), r.exchanging, r.waiting));
        out.add("medians of " + Text.many(rounds, "round") + " of " + (steps - WARM_UP) + " timed steps, "
                + Text.many(threads, "thread") + " a worker; exchanging and waiting: of the worker that did most of it,"
                + " averaged over all steps");
        return out;
    }

    private String json(List<Row> rows) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("threads", threads).put("rounds", rounds).put("steps", steps - WARM_UP);
        ArrayNode list = o.putArray("rows");
        for (Row r : rows)
            list.addObject().put("workers", r.workers).put("step_seconds", r.step)
                    .put("efficiency", efficiency(rows.getFirst(), r)).put("exchanging_seconds", r.exchanging)
                    .put("waiting_seconds", r.waiting);
        return o.toString();
    }
}
