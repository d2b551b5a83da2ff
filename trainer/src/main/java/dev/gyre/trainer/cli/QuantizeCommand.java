package dev.gyre.trainer.cli;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.weights.Site;
import dev.gyre.quant.DoubleQuant;
import dev.gyre.quant.Nf4;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre quantize`: a model directory with its linear layers in 4-bit NormalFloat.
@Command(name = "quantize",
        description = "Store the linear layers of a model in 4-bit NormalFloat, as bitsandbytes does; transformers and gyre load the result.")
final class QuantizeCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "MODEL", description = "Hugging Face model directory in 16 or 32 bits.")
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
        try {
            Nf4.checkBlockSize(blockSize);
        } catch (IllegalArgumentException e) {
            throw new UsageException("--block-size " + blockSize + ": use 32, 64, 128, ... or 4096");
        }
        String[] there = Files.isDirectory(out) ? out.toFile().list() : null;
        if (Files.exists(out) && (there == null || there.length > 0))
            throw new UsageException(out + ": exists already; choose another --out or remove it");
        AtomicFiles.checkFolder(out);
        try (ModelDir source = ModelDir.open(model)) {
            ModelDirWriter writer = ModelDirWriter.like(source).nf4Config(doubleQuant);
            long before = 0;
            long after = 0;
            int count = 0;
            for (Site l : source.config().linears()) {
                String name = l.path() + ".weight";
                if (source.isQuantized(name))
                    throw new UsageException(model + ": " + name
                            + " is quantised already; start from the model in 16 or 32 bits");
                screen().status("quantising " + name);
                HostData.NF4 q = Nf4.quantize(source.weight(name), blockSize);
                if (doubleQuant)
                    q = DoubleQuant.of(q);
                writer.nf4(name, q, l.out(), l.in(), source.originalType(name));
                before += q.size() * source.originalType(name).width;
                after += q.bytes();
                count++;
            }
            writer.write(out);
            screen().done();
            screen().result(
                    "wrote " + out + ": " + Text.many(count, "linear layer") + " in 4 bits, " + Text.bytes(before)
                            + " -> " + Text.bytes(after));
            return ExitCode.OK;
        }
    }
}
