package dev.gyre.model.format;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.QuantizationConfig;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Inputs;
import dev.gyre.model.files.Json;
import dev.gyre.quant.BnbLayout;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// Writes a model directory that transformers loads: `config.json`, the weights in one file or in shards with an
/// index, and the tokenizer and generation files of a source. Weights are streamed one tensor at a time. The
/// directory is written under a temporary name and renamed when complete.
public final class ModelDirWriter {
    /// Largest shard that transformers 4.x writes by default.
    public static final long SHARD_LIMIT = 5_000_000_000L;

    private static final Set<String> COMPANION_FILES = Set.of("generation_config.json", "special_tokens_map.json",
            "added_tokens.json", "vocab.json", "vocab.txt", "spm.model", "merges.txt", "gyre_tokenizer.json",
            "preprocessor_config.json");
    private static final List<String> COMPANION_PREFIXES = List.of("tokenizer", "chat_template", "license", "notice");

    private static final List<String> SENTENCE_FILES = List.of("modules.json", "sentence_bert_config.json",
            "config_sentence_transformers.json", "1_Pooling/config.json");
    private static final long TEXT_LIMIT = 1 << 20;

    private final ObjectNode config;
    private final Map<String, SafeTensorsWriter.Entry> entries = new LinkedHashMap<>();
    /// Weights of the source that were in 4 bits and are written in a wider type.
    private final Set<String> widened = new LinkedHashSet<>();
    private final List<Path> companions = new ArrayList<>();
    private final Map<String, String> texts = new TreeMap<>();
    private long shardLimit = SHARD_LIMIT;

    private ModelDirWriter(ObjectNode config) {
        this.config = config;
    }

    /// A new model; its tensors are to be added.
    public static ModelDirWriter of(ModelConfig config) {
        return new ModelDirWriter(HfConfig.toJson(config));
    }

    /// A copy of `source`, which must stay open until this is written; weights in it can be replaced. A head that is tied
    /// to the embedding is left out: it would stay as it is when the embedding is replaced.
    public static ModelDirWriter like(ModelDir source) {
        var w = new ModelDirWriter(source.configJson());
        for (String n : source.tensors().keySet())
            if (!source.config().tieWordEmbeddings() || !n.equals("lm_head.weight"))
                w.put(SafeTensorsWriter.Entry.copy(source.file(n), n));
        return w.filesFrom(source.directory());
    }

    private void put(SafeTensorsWriter.Entry e) {
        entries.put(e.name(), e);
    }

    /// Adds or replaces a tensor, stored as `type` (F32, F16 or BF16, rounded to nearest even). An NF4 weight of that
    /// name is replaced together with its quantisation state.
    public ModelDirWriter tensor(String name, TensorType type, Supplier<float[]> values, long... shape) {
        if (removeCompanions(name))
            widened.add(name);
        put(SafeTensorsWriter.Entry.floats(name, type, values, shape));
        return this;
    }

    /// Adds or replaces a weight (n, d) in 4-bit NormalFloat; `original` is the dtype it was quantised from.
    public ModelDirWriter nf4(String name, HostData.NF4 data, long n, long d, TensorType original) {
        removeCompanions(name);
        widened.remove(name);
        String dtype = switch (original) {
            case F32 -> "float32";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            default -> throw new IllegalArgumentException(name + ": " + original);
        };
        List<Integer> shape = List.of(Math.toIntExact(n), Math.toIntExact(d));
        for (BnbLayout.Tensor t : BnbLayout.write(name, data, dtype, shape)) {
            List<Long> dims = t.shape().stream().map(Integer::longValue).toList();
            put(new SafeTensorsWriter.Entry(t.name(), TensorType.valueOf(t.dtype()), dims, t.data().remaining(),
                    out -> {
                        ByteBuffer rest = t.data().duplicate();
                        while (rest.hasRemaining())
                            out.write(rest);
                    }));
        }
        return this;
    }

    /// Declares in config.json that linear layers are 4-bit NormalFloat, in the fields that transformers writes.
    public ModelDirWriter nf4Config(boolean doubleQuant) {
        return nf4Config(doubleQuant, List.of());
    }

    /// The same.
    ///
    /// @param others linear modules that are not; empty: the output head, which is left out by itself
    public ModelDirWriter nf4Config(boolean doubleQuant, List<String> others) {
        config.set("quantization_config",
                HfConfig.toJson(new QuantizationConfig(doubleQuant, "bfloat16", "uint8", others)));
        return this;
    }

    /// Declares a 32-bit model in config.json; transformers rounds what it loads to the type named there.
    public ModelDirWriter f32Config() {
        config.put(config.has("dtype") ? "dtype" : "torch_dtype", "float32");
        return this;
    }

    private boolean removeCompanions(String weight) {
        return entries.keySet().removeIf(key -> BnbLayout.isCompanion(key) && key.startsWith(weight + "."));
    }

    /// A new model with this `config.json`; its tensors are to be added.
    public static ModelDirWriter of(ObjectNode config) {
        return new ModelDirWriter(config);
    }

    /// Adds a tensor as it is in a file, which must stay open until this is written.
    public ModelDirWriter copy(SafeTensors file, String name) {
        put(SafeTensorsWriter.Entry.copy(file, name));
        return this;
    }

    /// Copies tokenizer and generation files, templates and licences of `directory`, those that are there.
    public ModelDirWriter filesFrom(Path directory) {
        try (var files = Files.list(directory)) {
            files.filter(f -> isCompanion(f.getFileName().toString()) && Files.isRegularFile(f)).sorted()
                    .forEach(f -> companions.add(ModelDir.requireInside(directory, f)));
        } catch (IOException e) {
            throw FormatException.unreadable(directory, e);
        }
        return this;
    }

    private static boolean isCompanion(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return COMPANION_FILES.contains(name) || COMPANION_PREFIXES.stream().anyMatch(lower::startsWith);
    }

    /// Copies what sentence-transformers has beside the model: its modules, how it pools, the length of a text.
    public ModelDirWriter sentencesFrom(Path directory) {
        for (String name : SENTENCE_FILES) {
            Path f = directory.resolve(name);
            if (Files.isRegularFile(f))
                texts.put(name, Inputs.text(ModelDir.requireInside(directory, f), TEXT_LIMIT));
        }
        return this;
    }

    /// Adds a text file.
    ///
    /// @param name may lie in a folder, as `1_Pooling/config.json`
    public ModelDirWriter file(String name, String text) {
        texts.put(name, text);
        return this;
    }

    /// Largest size of a weight file in bytes; a single tensor may exceed it.
    public ModelDirWriter shardLimit(long bytes) {
        shardLimit = bytes;
        return this;
    }

    /// Writes the directory, which must not exist yet or be empty.
    public void write(Path directory) {
        boolean quantized = entries.keySet().stream().anyMatch(BnbLayout::isCompanion);
        if (!quantized)
            config.remove("quantization_config");
        else
            if (!config.hasNonNull("quantization_config"))
                throw new IllegalStateException("4-bit weights in a model whose configuration is not quantised");
        if (quantized && !widened.isEmpty())
            skipWidened((ObjectNode) config.get("quantization_config"));
        AtomicFiles.createDirectory(directory, aside -> {
            for (Path f : companions)
                Files.copy(f, aside.resolve(f.getFileName().toString()));
            for (Map.Entry<String, String> t : texts.entrySet()) {
                Path f = aside.resolve(t.getKey());
                Files.createDirectories(f.resolveSibling(""));
                Files.writeString(f, t.getValue());
            }
            Files.writeString(aside.resolve(ModelDir.CONFIG), Json.pretty(config));
            writeWeights(aside);
        });
    }

    /// transformers makes a 4-bit layer of every linear module that is not named here; where nothing is, the output head is
    /// left out by itself.
    private void skipWidened(ObjectNode quantization) {
        String key = "llm_int8_skip_modules";
        ArrayNode skip = quantization.path(key) instanceof ArrayNode given ? given
                : quantization.putArray(key).add("lm_head");
        for (String weight : widened)
            skip.add(weight.substring(0, weight.length() - ".weight".length()));
    }

    private void writeWeights(Path directory) {
        List<List<SafeTensorsWriter.Entry>> shards = shards();
        if (shards.size() == 1) {
            writeShard(directory.resolve(ModelDir.SINGLE), shards.getFirst());
            return;
        }
        ObjectNode index = Json.MAPPER.createObjectNode();
        index.putObject("metadata").put("total_size",
                entries.values().stream().mapToLong(SafeTensorsWriter.Entry::bytes).sum());
        Map<String, String> places = new TreeMap<>();
        for (int i = 0; i < shards.size(); i++) {
            String name = String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", i + 1, shards.size());
            shards.get(i).forEach(e -> places.put(e.name(), name));
            writeShard(directory.resolve(name), shards.get(i));
        }
        ObjectNode map = index.putObject("weight_map");
        places.forEach(map::put);
        AtomicFiles.write(directory.resolve(ModelDir.INDEX), Json.pretty(index));
    }

    private List<List<SafeTensorsWriter.Entry>> shards() {
        List<List<SafeTensorsWriter.Entry>> shards = new ArrayList<>();
        List<SafeTensorsWriter.Entry> shard = new ArrayList<>();
        long bytes = 0;
        for (SafeTensorsWriter.Entry e : entries.values()) {
            if (!shard.isEmpty() && bytes + e.bytes() > shardLimit) {
                shards.add(shard);
                shard = new ArrayList<>();
                bytes = 0;
            }
            shard.add(e);
            bytes += e.bytes();
        }
        shards.add(shard);
        return shards;
    }

    private static void writeShard(Path file, List<SafeTensorsWriter.Entry> shard) {
        var writer = new SafeTensorsWriter();
        shard.forEach(writer::add);
        writer.write(file);
    }
}
