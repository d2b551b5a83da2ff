package dev.gyre.trainer.convert;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.InputException;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.MergeCheck;
import dev.gyre.trainer.measure.ModelRef;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Writes model directories with adapters folded into the weights, or taken out of them again.
public final class Merging {
    private Merging() {
    }

    /// How to merge.
    ///
    /// @param undo whether the model is a merged one, out of whose weights the adapters are to be taken
    /// @param type of the changed weights; null: as the model directory had them before any 4-bit quantisation
    /// @param verify whether logits are compared with those of base and adapter; above the limit nothing is kept
    /// @param limit largest difference of a logit, relative to the largest logit; null: by the type of the weights
    /// @param seed of the tokens that logits are compared on
    public record Options(boolean undo, @Nullable TensorType type, boolean verify, @Nullable Double limit, long seed) {
        public static final Options DEFAULT = new Options(false, null, false, null, 1);
    }

    /// @param verified what the comparison found, in words; null without a comparison
    public record Result(Written written, @Nullable String verified) {
    }

    /// Writes a model directory with the adapters of `ref` in its weights, or taken out of them.
    ///
    /// @param warnings gets each remark on the files
    /// @param progress gets the name of each weight before it is computed
    /// @throws CheckFailedException when the comparison is above its limit; nothing is written then
    public static Result run(ModelRef ref, Path out, Options o, Backend backend, Consumer<String> warnings,
            Consumer<String> progress) {
        if (ref.adapters().isEmpty())
            throw new InputException("nothing to merge: give --adapter DIR, or a run directory as MODEL");
        AtomicFiles.requireNewDirectory(out);
        String record = MergeRecord.after(ref.model(), ref.adapters(), o.undo);
        Transformer model = ref.load(warnings);
        Result[] result = new Result[1];
        AtomicFiles.createDirectory(out, aside -> {
            Written written = write(model, ref.model(), ref.base() != Storage.AS_STORED, o.undo, record, o.type,
                    backend, aside, progress);
            String verified = o.verify ? verify(model, aside, out, o, written.narrowest(), backend) : null;
            result[0] = new Result(written, verified);
        });
        return Objects.requireNonNull(result[0]);
    }

    /// Compares logits of the adapter on its base with those of the merged weights.
    ///
    /// @param given the model that the merge started from
    private static String verify(Transformer given, Path written, Path out, Options o, TensorType stored,
            Backend backend) {
        Transformer made;
        try (ModelDir dir = ModelDir.open(written)) {
            made = Transformer.load(dir);
        }
        if (o.undo)
            for (String name : given.adapterNames()) {
                made.attach(name, given.named(name));
                given.enable(name, false);
            }
        double allowed = o.limit != null ? o.limit : switch (stored) {
            case F16 -> 2e-2;
            case BF16 -> 1e-1;
            default -> 1e-4;
        };
        MergeCheck c = MergeCheck.of(o.undo ? made : given, o.undo ? given : made, backend, o.seed);
        String said = String.format(Locale.ROOT,
                "largest difference of %,d logits %.2e, relative to the largest logit %.2e (limit %.0e, %s)",
                c.logits(), c.difference(), c.relative(), allowed, stored);
        if (!(c.relative() <= allowed))
            throw new CheckFailedException("merge --verify: " + said + "; nothing was written to " + out);
        return said;
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
    /// @param restored whether the weights are stored otherwise than in the files; then all of them are written as they
    ///        are stored, because the adapters belong to those
    /// @param undo whether `llama` holds merged weights, out of which the adapters are to be taken
    /// @param record what the written directory says of the adapters in it, of [MergeRecord#after]; null: nothing
    /// @param type of the changed weights; null: as the model directory had them before any 4-bit quantisation
    /// @param progress gets each weight's name before it is computed
    public static Written write(Transformer llama, Path base, boolean restored, boolean undo, @Nullable String record,
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
                        return stored(name, t, Merge.weight(llama, backend, name));
                    Merge.Unmerged w = Merge.unmerge(llama, backend, name, llama.values(name));
                    growth[0] = Math.max(growth[0], w.growth());
                    return stored(name, t, w.values());
                }, shape(source, name));
            }
            if (restored)
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

    /// `values`, all of which `type` can hold.
    private static float[] stored(String name, TensorType type, float[] values) {
        for (float v : values)
            if (!Float.isFinite(v) || type == TensorType.F16 && Math.abs(v) >= F16_OVERFLOW)
                throw new CheckFailedException("merge: " + name + " would hold " + v + ", which " + (Float.isFinite(v)
                        ? "F16 cannot store: use --dtype f32 or bf16"
                        : "is no weight: those of the model or of an adapter are not finite or too large")
                        + "; nothing was written");
        return values;
    }

    /// Half-way from the largest number in 16 bits to the next, which rounds to infinity.
    private static final float F16_OVERFLOW = 65520;

    private static long[] shape(ModelDir source, String name) {
        return source.shape(name).stream().mapToLong(Long::longValue).toArray();
    }
}
