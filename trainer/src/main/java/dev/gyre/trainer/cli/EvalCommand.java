package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.GeometryReport;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ExampleFiles;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenCache;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.measure.Evaluation;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.measure.WeightGeometry;
import dev.gyre.trainer.task.TaskEvaluation;
import dev.gyre.trainer.task.TaskScores;
import dev.gyre.trainer.task.TaskUse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// `gyre eval`: loss, perplexity and exact answers on a file.
@Command(name = "eval", description = "Loss and perplexity of a model on a data file, with or without an adapter.")
final class EvalCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Mixin
    DateArgs date = new DateArgs();

    @Parameters(index = "1", paramLabel = "FILE",
            description = "JSON lines or list, CSV, Parquet (text; prompt + completion; messages; keys of Alpaca or ShareGPT) or plain text; a file, a folder or a pattern.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--format", defaultValue = "auto",
            description = "auto, jsonl, csv, parquet or text (default: ${DEFAULT-VALUE}).")
    RunConfig.Format format = RunConfig.Format.AUTO;

    @Option(names = "--keys", paramLabel = "KEY=COLUMN",
            description = "A column of the data that has another name, such as prompt=question; may be repeated.")
    Map<String, String> keys = Map.of();

    @Option(names = "--train-on", defaultValue = "completion",
            description = "Tokens that count: completion or all (default: ${DEFAULT-VALUE}).")
    RunConfig.TrainOn trainOn = RunConfig.TrainOn.COMPLETION;

    @Option(names = "--seq-len", paramLabel = "T",
            description = "Tokens in a row (default: 512, or the model's context if that is less).")
    @Nullable
    Integer seqLen;

    @Option(names = "--batch", defaultValue = "4", paramLabel = "B",
            description = "Rows at once (default: ${DEFAULT-VALUE}).")
    int batch;

    @Option(names = "--exact", paramLabel = "N", defaultValue = "0",
            description = "Also answer the first N prompts greedily: exact answers, and right tokens given the right ones before (completions, and the last answers of conversations).")
    int exact;

    @Option(names = "--geometry",
            description = "Also show, for each adapted weight, its rotation (norm of Q, angle, orthogonality) and its hyperspherical energy before and after.")
    boolean geometry;

    @Option(names = "--json", description = "Print one JSON object instead of text.")
    boolean json;

    @Option(names = "--before", description = "Also measure the model without its adapters.")
    boolean before;

    @Option(names = "--forgetting", paramLabel = "FILE",
            description = "Examples of what the model knew, measured before and after (implies --before).")
    @Nullable
    Path forgetting;

    /// @param answers null without `--exact`
    private record Measured(Evaluation.Loss loss, Evaluation.@Nullable Answers answers, TokenizedSet set) {
    }

    /// A model with a head: its scores.
    private int task() {
        if (before || forgetting != null || exact > 0 || geometry)
            throw new UsageException(model.model + " is a model with a head; of the options it takes --json, --adapter,"
                    + " --base and --device");
        try (TaskUse use = TaskUse.open(model.model, model.adapters, model.base, Devices.open(model.device).backend(),
                screen()::note)) {
            TaskEvaluation e = use.evaluate(file);
            if (json) {
                ObjectNode o = JsonNodeFactory.instance.objectNode();
                o.put("model", model.model.toString()).put("data", file.toString()).put("loss", e.loss());
                e.scores().forEach(o::put);
                screen().data(o.toString());
            } else
                screen().result(TaskScores.of(e).toString());
        }
        return ExitCode.OK;
    }

    @Override
    protected int run() {
        if (batch < 1 || seqLen != null && seqLen < 1 || exact < 0)
            throw new UsageException("--batch and --seq-len must be at least 1, --exact at least 0");
        if (TaskUse.is(model.model))
            return task();
        for (String key : keys.keySet())
            if (!RunConfig.Data.KEYS.contains(key))
                throw new UsageException("--keys " + key + ": names that Gyre reads are "
                        + String.join(", ", RunConfig.Data.KEYS));
        ModelRef ref = model.ref();
        boolean twice = before || forgetting != null;
        if (twice && ref.adapters().isEmpty())
            throw new UsageException(
                    "--before and --forgetting compare a model with and without an adapter: give --adapter"
                            + " DIR, or the run directory of an adapter as MODEL");
        ModelText text = date.text(model, ref);
        Backend backend = Devices.open(model.device).backend();
        List<Path> files = forgetting == null ? List.of(file) : List.of(file, forgetting);
        List<Measured> first =
                twice ? measure(new ModelRef(ref.model(), List.of(), ref.base()).load(backend), text, backend, files)
                        : List.of();
        Transformer llama = ref.load(backend, screen()::note);
        List<Measured> now = measure(llama, text, backend, files);
        List<WeightGeometry> rotations = geometry ? WeightGeometry.of(llama, backend) : List.of();
        Measured main = now.getFirst();
        if (json) {
            ObjectNode o = JsonNodeFactory.instance.objectNode();
            o.put("model", ref.model().toString());
            var adapters = o.putArray("adapters");
            ref.adapters().forEach(a -> adapters.add(a.toString()));
            o.put("data", file.toString());
            put(o, main);
            o.put("examples", main.set.size());
            if (twice)
                put(o.putObject("before"), first.getFirst());
            if (forgetting != null) {
                ObjectNode f = o.putObject("forgetting");
                f.put("data", forgetting.toString());
                put(f, now.getLast());
                put(f.putObject("before"), first.getLast());
            }
            if (geometry)
                GeometryReport.json(rotations, o.putArray("geometry"));
            screen().result(o.toString());
        } else {
            for (int i = 0; i < files.size(); i++) {
                if (files.size() > 1)
                    screen().result(files.get(i) + ":");
                if (twice)
                    screen().result("before: " + line(first.get(i)));
                screen().result((twice ? "after:  " : "") + line(now.get(i)));
            }
            if (geometry)
                GeometryReport.lines(rotations).forEach(screen()::result);
        }
        if (!Double.isFinite(main.loss.loss()))
            throw new CheckFailedException("the loss is " + main.loss.loss());
        return ExitCode.OK;
    }

    private boolean noted;

    private List<Measured> measure(Transformer llama, ModelText text, Backend backend, List<Path> files) {
        int T = seqLen != null ? seqLen : Math.min(512, llama.config().maxPositionEmbeddings());
        List<Measured> out = new ArrayList<>();
        for (Path f : files) {
            ExampleFiles from = ExampleFiles.of(DataFiles.of(f.toString()), format, keys);
            TokenizedSet set = TokenizedSet.read(from,
                    new TokenizedSet.Rules(format, trainOn, RunConfig.TooLong.SPLIT, T), text, TokenCache.DEFAULT);
            if (!noted)
                set.notes().forEach(screen()::note);
            out.add(new Measured(Evaluation.loss(llama, backend, set, batch, T),
                    exact == 0 ? null : Evaluation.answers(llama, backend, first(from, exact), text), set));
        }
        noted = true;
        return out;
    }

    private static String line(Measured m) {
        Evaluation.Answers a = m.answers;
        return Text.format("loss %.6f · perplexity %.4f · %,d tokens of %,d examples", m.loss.loss(),
                m.loss.perplexity(), m.loss.tokens(), m.set.size())
                + (m.set.truncated() + m.set.dropped() == 0 ? ""
                        : Text.format(" · %,d truncated · %,d dropped (--seq-len)", m.set.truncated(), m.set.dropped()))
                + (a == null ? ""
                        : Text.format(" · exact answers %,d of %,d (%.1f %%), right tokens %.1f %%", a.right(),
                                a.all(), 100 * a.share(), 100 * a.tokenShare()));
    }

    private static void put(ObjectNode o, Measured m) {
        o.put("loss", m.loss.loss());
        o.put("perplexity", m.loss.perplexity());
        o.put("tokens", m.loss.tokens());
        Evaluation.Answers a = m.answers;
        if (a != null)
            o.put("exact", a.share()).put("token_accuracy", a.tokenShare()).put("answered", a.all());
    }

    private List<Example> first(ExampleFiles files, int n) {
        List<Example> out = files.tasks(n);
        if (out.isEmpty())
            throw new UsageException(
                    files.name() + ": --exact needs examples with prompt and completion, or messages with an answer");
        return out;
    }
}
