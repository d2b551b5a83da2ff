package dev.gyre.trainer.run;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.files.Sha256;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.LoopSettings;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.record.RunDir;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// What the workers of a run tell each other before the first step.
final class Workers {
    private Workers() {
    }

    /// @throws InputException if some worker would have nothing to do
    static void requireEnough(RunConfig.Train train, Collective workers) {
        if (workers.size() > train.accumulate())
            throw new InputException(workers.size() + " workers for the " + train.accumulate()
                    + " micro-batches of a step; raise train.accumulate (and lower train.micro_batch) or start fewer workers");
    }

    /// Micro-batches of a step that one worker computes at most.
    static int share(RunConfig.Train train, Collective workers) {
        return Math.ceilDiv(train.accumulate(), workers.size());
    }

    /// Whether the workers' sums have the bits of one worker's.
    static boolean sameBits(RunConfig.Train train, Collective workers) {
        return Integer.bitCount(workers.size()) == 1 && train.accumulate() % workers.size() == 0;
    }

    /// Compares, by their hashes, what has to be the same on all workers.
    ///
    /// @param provenance of the run, which has the files' hashes
    /// @throws InputException on every worker, naming the first one that differs and in what
    static void requireSame(LoopSettings config, ObjectNode provenance, Collective workers) {
        if (workers.size() == 1)
            return;
        Map<String, String> what = new TreeMap<>();
        what.put("the version of Gyre", provenance.path("gyre").asString());
        what.put("the version of Java", String.valueOf(Runtime.version()));
        // where to compute and to write may differ
        Map<String, String> keys = new TreeMap<>(ConfigWriter.flat(config.record()));
        keys.keySet().removeIf(k -> k.startsWith("output.") || k.equals("device"));
        what.put("the configuration", keys.toString());
        what.put("the processor's vectors, which change rounding",
                new CpuBackend().describe().replaceAll("\\d+ threads?",
                        ""));
        StringBuilder files = new StringBuilder();
        // workers may have them in different places
        provenance.path("inputs").properties().forEach(f -> files.append(Path.of(f.getKey()).getFileName()).append(' ')
                .append(f.getValue().asString()).append('\n'));
        what.put("the files of model and data", files.toString());
        List<String> names = new ArrayList<>(what.keySet());
        double[] mine = new double[names.size()];
        for (int i = 0; i < mine.length; i++)
            mine[i] = hash(what.getOrDefault(names.get(i), ""));
        double[][] all = workers.gather(mine);
        for (int r = 1; r < all.length; r++)
            for (int i = 0; i < mine.length; i++)
                if (all[r][i] != all[0][i])
                    throw new InputException("worker " + r + " differs from worker 0 in " + names.get(i)
                            + "; all workers of a run need the same");
    }

    /// 52 bits, which a double holds exactly.
    private static double hash(String text) {
        return Long.parseLong(Sha256.of(text.getBytes(StandardCharsets.UTF_8)).substring(0, 13), 16);
    }

    /// The first worker's checkpoint, on all workers: no other one needs to see the run directory.
    ///
    /// @param mine looked at on the first worker only; null where there is none
    static @Nullable Checkpoint checkpoint(@Nullable Checkpoint mine, Collective workers) {
        if (workers.size() == 1)
            return mine;
        byte[] text = workers.broadcast(mine == null || workers.rank() > 0 ? new byte[0]
                : RunDir.describe(mine).getBytes(StandardCharsets.UTF_8));
        if (text.length == 0)
            return null;
        double[] sizes = workers.gather(mine == null ? new double[] {0, 0}
                : new double[] {mine.state().params().length, mine.state().method().length})[0];
        TrainState s = mine != null ? mine.state()
                : new TrainState(new float[(int) sizes[0]], new float[(int) sizes[0]], new float[(int) sizes[0]],
                        new double[(int) sizes[1]]);
        workers.broadcast(s.params());
        workers.broadcast(s.m());
        workers.broadcast(s.v());
        double[] method = sizes[1] == 0 ? new double[0] : workers.gather(s.method())[0];
        return mine != null ? mine : RunDir.read(new String(text, StandardCharsets.UTF_8),
                new TrainState(s.params(), s.m(), s.v(), method));
    }

    /// Who trains, and whether that shows in the result.
    static String describe(RunConfig.Train train, Collective workers) {
        return workers.describe() + (sameBits(train, workers) ? ", the bits of one worker"
                : ", equal to one worker within rounding (a power of two that divides train.accumulate "
                        + train.accumulate() + " gives equal bits)");
    }
}
