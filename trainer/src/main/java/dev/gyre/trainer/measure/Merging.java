package dev.gyre.trainer.measure;

import dev.gyre.kernels.Backend;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.Transformer;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Writes model directories with adapters folded into the weights, or taken out of them again.
public final class Merging {
    private Merging() {
    }

    /// What was written.
    ///
    /// @param weights that changed
    /// @param narrowest type that a changed weight was stored in: F32, F16 or BF16
    /// @param growth how much rounding errors of merged weights may have grown in unmerged ones, at least 1
    public record Written(int weights, TensorType narrowest, double growth) {
    }

    /// @param llama with the adapters switched on that are to be merged, or that were merged
    /// @param base the model directory that `llama` was read from; what does not change is copied from it
    /// @param held whether the weights are held otherwise than in the files; then all of them are written as they are
    ///        held, because the adapters belong to those
    /// @param undo whether `llama` holds merged weights, out of which the adapters are to be taken
    /// @param record what the written directory says of the adapters in it, of [MergeRecord#after]; null: nothing
    /// @param type of the changed weights; null: as the model directory had them before any 4-bit quantisation
    /// @param progress told each weight's name before it is computed
    public static Written write(Transformer llama, Path base, boolean held, boolean undo, @Nullable String record,
            @Nullable TensorType type, Backend backend, Path to, Consumer<String> progress) {
        try (ModelDir source = ModelDir.open(base)) {
            List<String> changed = Merge.changed(llama);
            ModelDirWriter writer = ModelDirWriter.like(source);
            if (type == TensorType.F32)
                writer.f32Config();
            TensorType narrowest = TensorType.F32;
            double[] growth = {1};
            for (String name : changed) {
                TensorType t = type != null ? type : source.originalType(name);
                if (t == TensorType.BF16 || t == TensorType.F16 && narrowest == TensorType.F32)
                    narrowest = t;
                writer.tensor(name, t, () -> {
                    progress.accept(name);
                    HeapTrim.collect();
                    if (!undo)
                        return Merge.weight(llama, backend, name);
                    Merge.Unmerged w = Merge.unmerge(llama, backend, name, llama.values(name));
                    growth[0] = Math.max(growth[0], w.growth());
                    return w.values();
                }, shape(source, name));
            }
            if (held)
                for (String name : llama.weights().keySet())
                    if (!changed.contains(name) && llama.dims(name).length == 2)
                        writer.tensor(name, type != null ? type : source.originalType(name), () -> llama.values(name),
                                shape(source, name));
            if (record != null)
                writer.file(MergeRecord.FILE, record);
            writer.write(to);
            return new Written(changed.size(), narrowest, growth[0]);
        }
    }

    private static long[] shape(ModelDir source, String name) {
        return source.shape(name).stream().mapToLong(Long::longValue).toArray();
    }
}
