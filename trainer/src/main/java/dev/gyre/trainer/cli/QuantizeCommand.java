package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.convert.Quantizing;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre quantize`: a model directory with its linear layers in 4-bit NormalFloat.
@Command(name = "quantize",
        description = "Store the linear layers of a model in 4-bit NormalFloat, as bitsandbytes does; transformers and gyre load the result.")
final class QuantizeCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "MODEL",
            description = "Hugging Face model directory in 16 or 32 bits, or a name of its hub.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path model;

    @Option(names = "--out", required = true, paramLabel = "DIR",
            description = "Model directory to write; must not exist or be empty.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Option(names = "--double-quant", description = "Also quantise the block maxima, to 8 bits.")
    boolean doubleQuant;

    @Option(names = "--block-size", paramLabel = "N", defaultValue = "64",
            description = "Weights that share a maximum: a power of two, 32 to 4096 (default: ${DEFAULT-VALUE}).")
    int blockSize;

    @Override
    protected int run() {
        Quantizing.Written w = Quantizing.run(model, out, blockSize, doubleQuant,
                name -> screen().status("quantising " + name));
        screen().done();
        screen().result("wrote " + out + ": " + Text.many(w.layers(), "linear layer") + " in 4 bits, "
                + Text.bytes(w.before()) + " -> " + Text.bytes(w.after()));
        return ExitCode.OK;
    }
}
