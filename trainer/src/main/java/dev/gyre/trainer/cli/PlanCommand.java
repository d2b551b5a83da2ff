package dev.gyre.trainer.cli;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.PlannedModel;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.PlanTable;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.DataSets;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.plan.RunPlan;
import dev.gyre.trainer.serve.ServeMemory;
import dev.gyre.trainer.serve.ServeOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre plan`: memory before the run.
@Command(name = "plan",
        description = "Peak memory of a run before it starts, by part, for every method and base side by side. Reads config.json and the headers of the weight files, no weights.")
final class PlanCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "RUN.yaml",
            description = "The run's configuration; with --serve also a model directory, a run directory or a hub name.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Replace a key of the configuration.")
    List<String> set = new ArrayList<>();

    @Option(names = "--limit", paramLabel = "SIZE",
            description = "Also find the largest micro_batch and seq_len that fit, such as 8GiB, 500MB.")
    @Nullable
    String limit;

    @Option(names = "--workers", paramLabel = "N", description = "Memory of each of N workers, and what they exchange.")
    int workers = 1;

    @Option(names = "--serve", paramLabel = "N",
            description = "Memory of gyre serve with N slots instead: the base, the run's adapter, and the cache.")
    @Nullable
    Integer serve;

    @Option(names = "--context", paramLabel = "TOKENS",
            description = "With --serve: longest prompt and answer together (default: " + ServeOptions.CONTEXT
                    + ", or the model's own if that is shorter).")
    @Nullable
    Integer context;

    @Override
    protected int run() {
        if (serve != null)
            return serve(serve);
        if (context != null)
            throw new UsageException("--context belongs to --serve N");
        if (ConfigReader.has(file, "task")) {
            if (workers != 1)
                throw new UsageException(file + ": --workers plans runs of language models; this one has a task, and"
                        + " each of its workers takes what is shown without it");
            return TaskScreen.plan(screen(), file, set, limit);
        }
        RunConfig c = ConfigReader.read(file, RunConfig.class, set);
        long most = limit == null ? 0 : size(limit);
        int threads = Runtime.getRuntime().availableProcessors();
        RunData.Load load = load(c);
        if (workers < 1 || workers > c.train().accumulate())
            throw new UsageException("--workers " + workers + ": give 1 to " + c.train().accumulate()
                    + ", the micro-batches of a step (train.accumulate)");
        return RunPlan.with(c, threads, workers, plan -> {
            RunPlan.Row own = plan.own(load);
            MemoryEstimate m = own.memory();
            if (m == null)
                throw new ConfigException(file + ": " + own.impossible());
            screen().result("memory of " + own.method() + " over " + PlanTable.word(own.base()) + " with "
                    + plan.shape().B() + " x " + plan.shape().T() + " tokens at once:");
            PlanTable.parts(m, plan.device()).forEach(screen()::result);
            if (workers > 1)
                screen().result("each of " + workers + " workers takes that, and sends "
                        + Text.bytes(plan.exchanged(own.trained())) + " a step");
            screen().result("");
            screen().result("every method at its defaults (this run's own as configured), every base:");
            screen().result(PlanTable.heading());
            plan.sideBySide(PlanTable.methods(), load).forEach(r -> screen().result(PlanTable.row(r)));
            if (most > 0) {
                screen().result("");
                fit(plan, "the CPU", most, MemoryEstimate::total, load);
                fit(plan, plan.device(), most, MemoryEstimate::device, load);
            }
            return ExitCode.OK;
        });
    }

    private int serve(int slots) {
        if (slots < 1 || context != null && context < 1)
            throw new UsageException("--serve and --context must be at least 1");
        boolean configured = file.toString().endsWith(".yaml") || file.toString().endsWith(".yml");
        RunConfig c = configured ? ConfigReader.read(file, RunConfig.class, set) : null;
        ModelRef ref = c != null ? new ModelRef(c.model().directory(), List.of(), c.model().base())
                : ModelRef.of(file, List.of());
        try (ModelDir files = ModelDir.open(ref.model())) {
            int longest = files.config().maxPositionEmbeddings();
            if (context != null && context > longest)
                throw new InputException("--context " + context + ": the model's context is " + longest);
            int tokens = context != null ? context : Math.min(longest, ServeOptions.CONTEXT);
            PlannedModel model = PlannedModel.of(files, ref.base());
            List<List<Adapter>> models = new ArrayList<>(List.of(List.of()));
            if (c != null && c.adapter() instanceof AdapterOptions options)
                models.add(List.of(model.adapter(options)));
            for (Path a : ref.adapters())
                models.add(List.of(Adapter.read(a, Transformer.reading(files))));
            int threads = Runtime.getRuntime().availableProcessors();
            ServeMemory m = ServeMemory.of(model, models, slots, tokens, ServeOptions.QUEUE, threads,
                    MemoryEstimate.beside(0, 0, threads));
            screen().result("memory of gyre serve with " + slots + " slots of " + tokens + " tokens:");
            PlanTable.serving(m).forEach(screen()::result);
        }
        return ExitCode.OK;
    }

    private void fit(RunPlan plan, String where, long most, RunPlan.Measure measure,
            RunData.Load load) {
        int batch = plan.largestBatch(most, measure, load);
        int sequence = plan.largestSequence(most, measure, load);
        screen().result("within " + limit + " on " + where + ": " + (batch == 0
                ? "no micro_batch fits at seq_len " + plan.shape().T()
                : "train.micro_batch " + batch + " at seq_len " + plan.shape().T())
                + (sequence == 0
                        ? "; no seq_len fits at micro_batch " + plan.shape().B()
                        : "; train.seq_len " + sequence + " at micro_batch " + plan.shape().B()
                                + (sequence == plan.context() ? " (the model's context)" : "")));
    }

    private RunData.Load load(RunConfig c) {
        try {
            for (Path f : DataSets.files(c.data()))
                if (!Files.exists(f)) {
                    screen().note("note: " + f + " is not there; what the data take is left out");
                    return new RunData.Load(0, 0);
                }
        } catch (InputException e) {
            screen().note("note: " + e.getMessage() + "; what the data take is left out");
            return new RunData.Load(0, 0);
        }
        return RunPlan.load(c);
    }

    /// `8GiB`, `500MB`, `2g`
    static long size(String text) {
        Matcher m = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*([kmgt]?)(i?)b?", Pattern.CASE_INSENSITIVE)
                .matcher(text.strip());
        if (!m.matches())
            throw new UsageException("--limit " + text + ": not a size; write 8GiB or 500MB");
        int power = "kmgt".indexOf(m.group(2).toLowerCase(java.util.Locale.ROOT)) + 1;
        if (m.group(2).isEmpty())
            power = 0;
        return Math.round(Double.parseDouble(m.group(1)) * Math.pow(m.group(3).isEmpty() ? 1000 : 1024, power));
    }
}
