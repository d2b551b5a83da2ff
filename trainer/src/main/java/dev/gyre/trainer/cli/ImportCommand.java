package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.convert.OnnxImport;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.node.ObjectNode;

/// `gyre import`: an embedding model of ONNX becomes a model directory.
@Command(name = "import",
        description = "Make a model directory of a BERT in an ONNX file, such as the embedding models of LangChain4j, so that it can be fine-tuned; gyre merge --onnx writes the result back into the same graph. Weights are found by following the graph, not by their names; quantised and other graphs are refused.")
final class ImportCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "FILE.onnx",
            description = "The graph, in single precision and without a head.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--out", required = true, paramLabel = "DIR",
            description = "Model directory to write; must not exist or be empty.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Option(names = "--tokenizer", paramLabel = "FILE",
            description = "The model's tokenizer.json (default: the one beside the graph, called tokenizer.json or NAME-tokenizer.json).")
    @Nullable
    Path tokenizer;

    @Option(names = "--pooling", paramLabel = "POOLING", defaultValue = "mean",
            description = "How the vectors of a text's tokens become one, which the graph does not say: mean or cls, the first token's (default: ${DEFAULT-VALUE}).")
    OnnxImport.Pooling pooling = OnnxImport.Pooling.MEAN;

    @Override
    protected int run() {
        OnnxImport.Result r = OnnxImport.run(file, tokenizer, pooling, out);
        if (!r.unread().isEmpty())
            screen().note(file + ": left out, because it is no part of a BERT: " + String.join(", ",
                    r.unread().subList(0, Math.min(3, r.unread().size()))) + (r.unread().size() > 3 ? ", ..." : ""));
        ObjectNode c = r.config();
        screen().result("wrote " + out + ": BERT of " + Text.big(r.parameters()) + " parameters, "
                + Text.many(c.path("num_hidden_layers").asInt(), "layer") + " of " + c.path("hidden_size").asInt()
                + ", " + Text.many(c.path("num_attention_heads").asInt(), "head") + ", "
                + (pooling == OnnxImport.Pooling.MEAN ? "mean" : "cls") + " pooling");
        return ExitCode.OK;
    }
}
