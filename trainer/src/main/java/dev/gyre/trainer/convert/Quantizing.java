package dev.gyre.trainer.convert;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.weights.Site;
import dev.gyre.quant.DoubleQuant;
import dev.gyre.quant.Nf4;
import dev.gyre.trainer.hub.Hub;
import java.nio.file.Path;
import java.util.function.Consumer;

/// Writes model directories whose linear layers are stored in 4-bit NormalFloat, as bitsandbytes does.
public final class Quantizing {
    private Quantizing() {
    }

    /// @param layers that were quantised
    /// @param before bytes of their weights in the source, after: as written
    public record Written(int layers, long before, long after) {
    }

    /// @param named a model directory in 16 or 32 bits, or a name of the Hugging Face hub
    /// @param blockSize weights that share a maximum: a power of two, 32 to 4096
    /// @param doubleQuant whether the maxima are quantised too, to 8 bits
    /// @param progress gets the name of each weight before it is quantised
    public static Written run(Path named, Path out, int blockSize, boolean doubleQuant, Consumer<String> progress) {
        if (blockSize < 32 || blockSize > 4096 || Integer.bitCount(blockSize) != 1)
            throw new InputException("--block-size " + blockSize + ": use 32, 64, 128, ... or 4096");
        AtomicFiles.requireNewDirectory(out);
        Path model = Hub.directory(named);
        if (TaskDir.is(model))
            try (TaskDir source = TaskDir.open(model)) {
                TaskDir.Quantized q = source.quantize(out, doubleQuant, (name, w) -> {
                    progress.accept(name);
                    HostData.NF4 small = Nf4.quantize(w, blockSize);
                    return doubleQuant ? DoubleQuant.of(small) : small;
                });
                return new Written(q.layers(), q.before(), q.after());
            }
        try (ModelDir source = ModelDir.open(model)) {
            ModelDirWriter writer = ModelDirWriter.like(source).nf4Config(doubleQuant);
            long before = 0;
            long after = 0;
            int count = 0;
            for (Site l : source.config().linears()) {
                String name = l.path() + ".weight";
                if (source.isQuantized(name))
                    throw new FormatException(model,
                            name + " is quantised already; start from the model in 16 or 32 bits");
                progress.accept(name);
                HostData.NF4 q = Nf4.quantize(source.weight(name), blockSize);
                if (doubleQuant)
                    q = DoubleQuant.of(q);
                writer.nf4(name, q, l.out(), l.in(), source.originalType(name));
                before += q.size() * source.originalType(name).width;
                after += q.bytes();
                count++;
            }
            writer.write(out);
            return new Written(count, before, after);
        }
    }
}
