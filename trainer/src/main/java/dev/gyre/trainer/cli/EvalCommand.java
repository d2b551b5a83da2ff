package dev.gyre.trainer.cli;

import dev.gyre.model.llama.Llama;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ExampleReader;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.run.Devices;
import dev.gyre.trainer.run.Evaluation;
import dev.gyre.trainer.run.ModelRef;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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

    @Parameters(index = "1", paramLabel = "FILE",
            description = "JSONL (text, prompt + completion, or messages) or plain text.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--format", defaultValue = "auto", description = "auto, jsonl or text (default: ${DEFAULT-VALUE}).")
    RunConfig.Format format = RunConfig.Format.AUTO;

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
            description = "Also answer the first N prompts greedily and count exact answers (prompt/completion files).")
    int exact;

    @Option(names = "--geometry",
            description = "Also show, for each adapted weight, its rotation (norm of Q, angle, orthogonality) and its hyperspherical energy before and after.")
    boolean geometry;

    @Option(names = "--json", description = "Print one JSON object instead of text.")
    boolean json;

    @Override
    protected int run() {
        if (batch < 1 || seqLen != null && seqLen < 1 || exact < 0)
            throw new UsageException("--batch and --seq-len must be at least 1, --exact at least 0");
        ModelRef ref = model.ref();
        ModelText text = ModelText.load(ref.model());
        Llama llama = ref.load();
        int T = seqLen != null ? seqLen : Math.min(512, llama.config().maxPositionEmbeddings());
        TokenizedSet set = TokenizedSet.read(file,
                new TokenizedSet.Rules(format, trainOn, RunConfig.TooLong.SPLIT, T), text);
        var backend = Devices.open(model.device).backend();
        Evaluation.Loss loss = Evaluation.loss(llama, backend, set, batch, T);
        Evaluation.Accuracy right = exact == 0 ? null
                : Evaluation.exactMatch(llama, backend, first(exact), text);
        List<GeometryReport.Row> rotations = geometry ? GeometryReport.of(llama, backend) : List.of();
        if (json) {
            ObjectNode o = JsonNodeFactory.instance.objectNode();
            o.put("model", ref.model().toString());
            var adapters = o.putArray("adapters");
            ref.adapters().forEach(a -> adapters.add(a.toString()));
            o.put("data", file.toString());
            o.put("loss", loss.loss());
            o.put("perplexity", loss.perplexity());
            o.put("tokens", loss.tokens());
            o.put("examples", set.size());
            if (right != null)
                o.put("exact", right.share()).put("answered", right.all());
            if (geometry)
                GeometryReport.json(rotations, o.putArray("geometry"));
            screen().result(o.toString());
        } else {
            screen().result(Text.format("loss %.6f · perplexity %.4f · %,d tokens of %,d examples", loss.loss(),
                    loss.perplexity(), loss.tokens(), set.size())
                    + (set.truncated() + set.dropped() == 0 ? ""
                            : Text.format(" · %,d truncated · %,d dropped (--seq-len %d)", set.truncated(),
                                    set.dropped(), T)));
            if (right != null)
                screen().result(Text.format("exact answers %,d of %,d (%.1f %%)", right.right(), right.all(),
                        100 * right.share()));
            if (geometry)
                GeometryReport.lines(rotations).forEach(screen()::result);
        }
        if (!Double.isFinite(loss.loss()))
            throw new CheckFailedException("the loss is " + loss.loss());
        return ExitCode.OK;
    }

    private List<Example> first(int n) {
        List<Example> out = new ArrayList<>();
        ExampleReader.read(file, format, (e, _) -> {
            if (out.size() < n && e instanceof Example.Completion)
                out.add(e);
        });
        if (out.isEmpty())
            throw new UsageException(file + ": --exact needs examples with prompt and completion");
        return out;
    }
}
