package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.task.TaskUse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// `gyre embed`: embeddings of texts.
@Command(name = "embed", description = "Embeddings of texts, vectors of length 1, as JSON lines or a safetensors file.")
final class EmbedCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Parameters(index = "1..*", paramLabel = "TEXT", description = "Texts.")
    List<String> given = new ArrayList<>();

    @Option(names = "--file", paramLabel = "FILE", description = "A file with a text on each line.")
    @Nullable
    Path file;

    @Option(names = "--out", paramLabel = "FILE.safetensors",
            description = "Write the vectors there, as 'embeddings' (texts, width); an existing file is not overwritten.")
    @Nullable
    Path out;

    @Override
    protected int run() {
        List<String> all = new ArrayList<>(given);
        if (file != null)
            all.addAll(ClassifyCommand.lines(file));
        if (all.isEmpty())
            throw new UsageException("give texts, or --file FILE");
        if (out != null)
            AtomicFiles.requireNewFile(out);
        try (TaskUse use = TaskUse.open(model.model, model.adapters, model.base, Devices.open(model.device).backend(),
                screen()::note)) {
            List<float[]> vectors = use.embed(all);
            if (out != null) {
                int width = vectors.getFirst().length;
                float[] flat = new float[vectors.size() * width];
                for (int i = 0; i < vectors.size(); i++)
                    System.arraycopy(vectors.get(i), 0, flat, i * width, width);
                new SafeTensorsWriter().f32("embeddings", flat, vectors.size(), width).write(out);
                screen().result(out + ": " + vectors.size() + " vectors of " + width);
                return ExitCode.OK;
            }
            for (int i = 0; i < all.size(); i++) {
                ObjectNode o = Json.MAPPER.createObjectNode();
                o.put("text", all.get(i));
                ArrayNode v = o.putArray("embedding");
                for (float x : vectors.get(i))
                    v.add(x);
                screen().data(o.toString());
            }
        }
        return ExitCode.OK;
    }
}
