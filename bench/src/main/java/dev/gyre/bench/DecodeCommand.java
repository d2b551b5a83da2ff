package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.BatchDecoder;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.cli.GyreCommand;
import dev.gyre.trainer.cli.UsageException;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.PlanTable;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.hub.Hub;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// `gyre bench decode`: tokens a second, for one sequence and for several together.
@Command(name = "decode", description = {
    "Time the generation of tokens by a model, for one sequence and for several that are decoded together, and the reading of prompts.",
    "Share is the rate at which a pass reads the weights, over the rate at which this machine copies large arrays (bytes read and written): 1 is what reading all weights once a token allows."})
final class DecodeCommand extends GyreCommand {
    /// Passes that are not timed: the JVM compiles.
    private static final int WARM_UP = 24;

    @Parameters(index = "0", paramLabel = "MODEL",
            description = "Model directory; what its weights are makes no difference.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path model;

    @Option(names = "--base", paramLabel = "BASE", split = ",", defaultValue = "as_stored",
            description = "How the weights are stored: as_stored, f32, bf16, nf4 or nf4_double. Default: ${DEFAULT-VALUE}.")
    List<Storage> bases = List.of(Storage.AS_STORED);

    @Option(names = "--rows", paramLabel = "N", split = ",", defaultValue = "1,8",
            description = "Sequences decoded together. Default: ${DEFAULT-VALUE}.")
    List<Integer> rows = List.of(1, 8);

    @Option(names = "--prompt", paramLabel = "N", defaultValue = "64",
            description = "Tokens of each sequence before the timed ones. Default: ${DEFAULT-VALUE}.")
    int prompt = 64;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "32",
            description = "Tokens of each sequence that are timed, in each round. Default: ${DEFAULT-VALUE}.")
    int tokens = 32;

    @Option(names = "--rounds", paramLabel = "N", defaultValue = "3", description = "Default: ${DEFAULT-VALUE}.")
    int rounds = 3;

    @Mixin
    BackendArgs where = new BackendArgs();

    @Option(names = "--json", description = "One JSON object instead of the table.")
    boolean json;

    /// @param pass seconds of one, the median of all
    /// @param fed tokens of prompts a second
    private record Row(Storage base, int rows, double pass, long bytes, double fed) {
        double rate() {
            return rows / pass;
        }
    }

    @Override
    protected int run() {
        if (tokens < 1 || rounds < 1 || prompt < 1 || rows.stream().anyMatch(n -> n < 1))
            throw new UsageException("give --rows, --prompt, --tokens and --rounds of at least 1");
        Backend backend = where.backend();
        int threads = where.threads == null ? Runtime.getRuntime().availableProcessors() : where.threads;
        double copy = Ceilings.measure(threads).copyGbs();
        List<Row> all = new ArrayList<>();
        try (ModelDir dir = ModelDir.open(Hub.directory(model))) {
            for (Storage base : bases) {
                Transformer m = Transformer.load(dir, base);
                for (int n : rows) {
                    screen().status(base + ", " + n + " sequences ...");
                    all.add(time(m, base, backend, n));
                }
            }
        }
        screen().done();
        copy = Math.max(copy, Ceilings.measure(threads).copyGbs());
        if (json)
            screen().result(json(all, copy).toString());
        else
            table(all, copy);
        return ExitCode.OK;
    }

    private Row time(Transformer m, Storage base, Backend backend, int n) {
        int V = m.config().vocabSize();
        int longest = prompt + WARM_UP + rounds * tokens;
        float[][] logits = new float[n][V];
        int[] slots = new int[n];
        Arrays.setAll(slots, i -> i);
        int[] next = new int[n];
        Arrays.setAll(next, i -> (7 * i + 3) % V);
        int[] text = new int[prompt];
        Arrays.setAll(text, i -> (11 * i + 5) % V);
        double[] passes = new double[rounds * tokens];
        try (BatchDecoder d = new BatchDecoder(List.of(m), backend, n, longest)) {
            for (int s = 0; s < n; s++)
                d.feed(s, text);
            d.rewind(0, 0);
            long from = System.nanoTime();
            d.feed(0, text);
            double fed = prompt / ((System.nanoTime() - from) / 1e9);
            for (int i = 0; i < WARM_UP; i++)
                d.next(slots, next, logits);
            for (int i = 0; i < passes.length; i++) {
                from = System.nanoTime();
                d.next(slots, next, logits);
                passes[i] = (System.nanoTime() - from) / 1e9;
            }
            return new Row(base, n, Stats.median(passes), read(m), fed);
        }
    }

    /// Bytes of the weights that a pass reads: all but the embedding, of which it reads a row, unless that is the head.
    private static long read(Transformer m) {
        long n = m.weights().values().stream().mapToLong(w -> w.bytes()).sum();
        return m.config().tieWordEmbeddings() ? n
                : n - m.data(ModelConfig.EMBEDDING + ".weight").bytes();
    }

    private static double share(Row r, double copy) {
        return r.bytes / r.pass / 1e9 / copy;
    }

    private void table(List<Row> all, double copy) {
        screen().result(Text.format("%-11s %5s %10s %10s %9s %7s %12s", "base", "rows", "tokens/s", "a pass", "GB/s",
                "share", "prompt"));
        for (Row r : all)
            screen().result(Text.format("%-11s %5d %10.1f %7.1f ms %9.2f %7.2f %8.0f t/s",
                    PlanTable.word(r.base), r.rows, r.rate(), 1e3 * r.pass, r.bytes / r.pass / 1e9, share(r, copy),
                    r.fed));
        screen().result(Text.format("this machine copies %.1f GB/s (read and written); medians of %d passes", copy,
                rounds * tokens));
    }

    private static ObjectNode json(List<Row> all, double copy) {
        ObjectNode o = JsonNodeFactory.instance.objectNode().put("copy_gb_per_second", copy);
        ArrayNode list = o.putArray("rows");
        for (Row r : all)
            list.addObject().put("base", PlanTable.word(r.base)).put("sequences", r.rows)
                    .put("tokens_per_second", r.rate()).put("pass_seconds", r.pass).put("weight_bytes", r.bytes)
                    .put("share", share(r, copy)).put("prompt_tokens_per_second", r.fed);
        return o;
    }
}
