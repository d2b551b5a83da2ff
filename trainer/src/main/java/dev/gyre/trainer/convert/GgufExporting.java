package dev.gyre.trainer.convert;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.gguf.GgufLayout;
import dev.gyre.model.gguf.GgufTokenizer;
import dev.gyre.model.gguf.GgufType;
import dev.gyre.model.gguf.GgufWriter;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.HfTokenizer;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import dev.gyre.quant.Nf4;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.ModelRef;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/// Writes models, with adapters folded in, and LoRA adapters as GGUF files, which llama.cpp runs.
public final class GgufExporting {
    /// Half-way from the largest number in 16 bits to the next, which rounds to infinity.
    private static final float F16_OVERFLOW = 65520;

    private GgufExporting() {
    }

    /// @param tensors in the file
    /// @param bytes of it
    /// @param notes for the user
    public record Written(int tensors, long bytes, List<String> notes) {
    }

    /// Writes a model with the adapters of `ref` in its weights. Matrices are stored in `type`, those whose rows have no whole
    /// blocks in F16, vectors in F32; in a file of Q4_0 the output head is Q8_0.
    ///
    /// @param out a file that is not there yet
    /// @param warnings gets each remark on the files
    /// @param progress gets the name of each weight before it is computed
    /// @throws InputException for a model or a tokenizer that llama.cpp has no form for
    public static Written model(ModelRef ref, GgufType type, Path out, Backend backend, Consumer<String> warnings,
            Consumer<String> progress) {
        AtomicFiles.requireNewFile(out);
        try (ModelDir dir = ModelDir.open(ref.model())) {
            ModelConfig config = dir.config();
            GgufLayout layout = GgufLayout.of(config);
            var writer = new GgufWriter();
            List<String> notes = new ArrayList<>(start(writer, layout, name(ref), type));
            notes.addAll(tokenizer(ref.model(), config, writer));
            Function<String, float[]> values = values(ref, dir, backend, warnings);
            int[] count = {0};
            layout.names().forEach((ours, theirs) -> {
                String source = config.tieWordEmbeddings() && ours.equals(ModelConfig.HEAD + ".weight")
                        ? ModelConfig.EMBEDDING + ".weight" : ours;
                long[] shape = dir.shape(source).stream().mapToLong(Long::longValue).toArray();
                GgufType as = type(type, ours, shape, config);
                writer.tensor(theirs, as, () -> {
                    progress.accept(ours);
                    HeapTrim.collect();
                    return checked(ours, as, layout.stored(ours, values.apply(source), (int) shape[0]));
                }, shape);
                count[0]++;
            });
            return new Written(count[0], writer.write(out), notes);
        }
    }

    private static String name(ModelRef ref) {
        Path named = ref.adapters().isEmpty() ? ref.model() : ref.adapters().getLast();
        return ModelRef.name(named);
    }

    private static List<String> start(GgufWriter writer, GgufLayout layout, String name, GgufType type) {
        writer.text("general.architecture", layout.architecture()).text("general.type", "model")
                .text("general.name", name).u32("general.file_type", type.fileType)
                .u32("general.quantization_version", 2);
        return layout.describe(writer);
    }

    private static GgufType type(GgufType wanted, String ours, long[] shape, ModelConfig config) {
        if (shape.length == 1)
            return GgufType.F32;
        boolean head = ours.equals(ModelConfig.HEAD + ".weight")
                || config.tieWordEmbeddings() && ours.equals(ModelConfig.EMBEDDING + ".weight");
        GgufType t = head && wanted == GgufType.Q4_0 ? GgufType.Q8_0 : wanted;
        return shape[1] % t.size == 0 ? t : GgufType.F16;
    }

    /// The values of the model's weights as the adapters leave them.
    private static Function<String, float[]> values(ModelRef ref, ModelDir dir, Backend backend,
            Consumer<String> warnings) {
        if (ref.adapters().isEmpty() && ref.base() == Storage.AS_STORED) {
            dir.warnings().forEach(warnings);
            return name -> {
                HostData w = dir.weight(name);
                return w instanceof HostData.NF4 q ? Nf4.dequantize(q) : w.decode(0, Math.toIntExact(w.size()));
            };
        }
        Transformer model = ref.load(warnings);
        Set<String> changed = Set.copyOf(Merge.changed(model));
        return name -> changed.contains(name) ? Merge.weight(model, backend, name) : model.values(name);
    }

    /// `values`, all of which `type` can hold.
    private static float[] checked(String name, GgufType type, float[] values) {
        // a scale of 16 bits holds 127 (Q8_0) or 8 (Q4_0) times as much
        double most = switch (type) {
            case F16 -> F16_OVERFLOW;
            case Q8_0 -> 127.0 * F16_OVERFLOW;
            case Q4_0 -> 8.0 * F16_OVERFLOW;
            default -> Double.POSITIVE_INFINITY;
        };
        for (float v : values)
            if (!Float.isFinite(v) || Math.abs(v) >= most)
                throw new CheckFailedException("export: " + name + " would hold " + v + ", which "
                        + (Float.isFinite(v) ? type + " cannot store: use --gguf F32 or BF16"
                                : "is no weight: those of the model or of an adapter are not finite or too large")
                        + "; nothing was written");
        return values;
    }

    private static List<String> tokenizer(Path model, ModelConfig config, GgufWriter writer) {
        Path file = model.resolve(HfTokenizer.FILE);
        if (!Files.exists(file)) {
            GgufTokenizer.none(writer);
            return List.of("the model has no " + HfTokenizer.FILE + ", so the file has no tokenizer");
        }
        try (Tokenizer t = Tokenizers.load(model)) {
            int[] around = t.encode("", true);
            int turn = config.tokens().eos().stream().filter(id -> id != t.eosId()).findFirst().orElse(-1);
            int eos = t.eosId() >= 0 ? t.eosId() : turn;
            var special = new GgufTokenizer.Special(t.bosId(), eos, turn == eos ? -1 : turn, t.padId(),
                    around.length > 0 && t.bosId() >= 0 && around[0] == t.bosId(),
                    around.length > 0 && t.eosId() >= 0 && around[around.length - 1] == t.eosId()
                            && (around.length > 1 || t.bosId() != t.eosId()));
            ChatTemplate template = ChatTemplate.load(model);
            return GgufTokenizer.write(file, HfTokenizer.json(file), special, config.vocabSize(),
                    template == null ? null : template.source(), writer);
        }
    }

    /// Writes the adapter of `ref`, one whose update of each weight is exactly a product of two thin matrices, as llama.cpp's
    /// LoRA adapter (`--lora` of its programs).
    ///
    /// @param type F32, F16 or BF16
    public static Written lora(ModelRef ref, GgufType type, Path out, Backend backend, Consumer<String> warnings) {
        if (ref.adapters().size() != 1)
            throw new InputException("give one --adapter DIR, or a run directory as MODEL");
        if (!type.isPlain())
            throw new InputException("a LoRA adapter is written in F32, F16 or BF16, not in " + type);
        AtomicFiles.requireNewFile(out);
        Transformer model = new ModelRef(ref.model(), List.of(), ref.base()).load(warnings);
        Adapter adapter = Adapter.read(ref.adapters().getFirst(), model);
        adapter.warnings().forEach(warnings);
        GgufLayout layout = GgufLayout.of(model.config());
        if (!adapter.whole().isEmpty() || !adapter.replaced().isEmpty())
            throw new InputException("the adapter brings weights of the model besides its matrices (a trained bias,"
                    + " modules_to_save, tokens, or a PiSSA or OLoRA start), which llama.cpp's LoRA adapters cannot hold;"
                    + " export the merged model");
        var writer = new GgufWriter();
        writer.text("general.architecture", layout.architecture()).text("general.type", "adapter")
                .text("general.name", ModelRef.name(ref.adapters().getFirst())).u32("general.file_type", type.fileType)
                .text("adapter.type", "lora");
        int ranks = 0;
        boolean same = true;
        int tensors = 0;
        for (AdapterLayer m : adapter.modules()) {
            AdapterLayer.LowRank u = m.lowRank(backend);
            if (u == null || m.module().equals(ModelConfig.EMBEDDING))
                throw new InputException(m.module() + ": an adapter of " + adapter.options().title()
                        + " has no exact LoRA form here; export the merged model");
            same &= ranks == 0 || ranks == u.r();
            ranks = u.r();
            int in = u.a().length / u.r();
            int rows = u.b().length / u.r();
            String ours = m.module() + ".weight";
            if (model.config().tieWordEmbeddings() && m.module().equals(ModelConfig.HEAD))
                throw new InputException(m.module() + ": the model ties its output head to its embedding, and llama.cpp"
                        + " would apply the adapter to both; use the adapter in Gyre");
            writer.tensor(layout.name(ours) + ".lora_a", type, values(ours, type, u.a()), u.r(), in);
            writer.tensor(layout.name(ours) + ".lora_b", type, values(ours, type, layout.stored(ours, u.b(), rows)),
                    rows,
                    u.r());
            tensors += 2;
        }
        // the scale is in B: alpha over the rank is 1, as it is without an alpha
        writer.f32("adapter.lora.alpha", same ? ranks : 0);
        return new Written(tensors, writer.write(out), List.of());
    }

    private static Supplier<float[]> values(String name, GgufType type, float[] values) {
        float[] all = checked(name, type, values);
        return () -> all;
    }

    /// What users call the types that a file can be written in.
    public static GgufType type(String name) {
        for (GgufType t : GgufType.WRITTEN)
            if (t.name().equalsIgnoreCase(name))
                return t;
        throw new InputException("--gguf " + name + ": use one of " + String.join(", ",
                GgufType.WRITTEN.stream().map(Enum::name).toList()));
    }
}
