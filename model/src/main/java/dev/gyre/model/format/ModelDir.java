package dev.gyre.model.format;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.quant.BnbLayout;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// A Hugging Face model directory: `config.json` and the weights in `model.safetensors` or in shards with
/// `model.safetensors.index.json`. Opening checks that every tensor the configuration calls for is there with its
/// shape and a type we read; weights are read when asked for.
public final class ModelDir implements AutoCloseable {
    static final String CONFIG = "config.json";
    static final String SINGLE = "model.safetensors";
    static final String INDEX = "model.safetensors.index.json";
    private static final List<String> DROPOUTS = List.of("attention_dropout", "embd_pdrop", "resid_pdrop");
    private static final String HEAD = "lm_head.weight";
    private static final String EMBEDDING = "model.embed_tokens.weight";

    private final Path directory;
    private final ObjectNode configJson;
    private final ModelConfig config;
    private final List<WeightFile> files;
    /// The file of each tensor.
    private final Map<String, WeightFile> tensors;
    /// The quantisation state of every 4-bit weight.
    private final Map<String, BnbLayout.QuantState> quantized = new TreeMap<>();

    private ModelDir(Path directory, ObjectNode configJson, ModelConfig config, List<WeightFile> files,
            Map<String, WeightFile> tensors) {
        this.directory = directory;
        this.configJson = configJson;
        this.config = config;
        this.files = files;
        this.tensors = tensors;
    }

    /// @throws FormatException when `directory` is not one
    public static void require(Path directory) {
        if (!Files.isDirectory(directory))
            throw new FormatException(directory, Files.exists(directory)
                    ? "is a file, expected a model directory with " + CONFIG
                    : "no such directory; give a Hugging Face model directory with " + CONFIG);
        if (Files.exists(directory.resolve("adapter_config.json")) && !Files.exists(directory.resolve(CONFIG)))
            throw new FormatException(directory, "is an adapter, not a model; name its base model, and this folder with"
                    + " --adapter, or the run that made it");
    }

    public static ModelDir open(Path directory) {
        require(directory);
        Path configFile = directory.resolve(CONFIG);
        ObjectNode json = Json.readObject(configFile);
        ModelConfig config = HfConfig.parse(configFile, json);
        List<WeightFile> files = new ArrayList<>();
        try {
            ModelDir opened = new ModelDir(directory, json, config, files, weights(directory, config, files));
            opened.nameTied();
            opened.readStates();
            opened.checkTensors();
            opened.checkTied();
            files = List.of();
            return opened;
        } finally {
            files.forEach(WeightFile::close);
        }
    }

    /// The file of each tensor, safetensors or the GGUF file that the directory stands for.
    private static Map<String, WeightFile> weights(Path directory, ModelConfig config, List<WeightFile> files) {
        if (Files.exists(directory.resolve(GgufDir.POINTER))) {
            GgufWeights all = GgufDir.weights(directory, config);
            files.add(all);
            Map<String, WeightFile> tensors = new TreeMap<>();
            all.names().forEach(n -> tensors.put(n, all));
            return tensors;
        }
        List<SafeTensors> opened = new ArrayList<>();
        try {
            return new TreeMap<>(locate(directory, opened));
        } finally {
            files.addAll(opened);
        }
    }

    /// The file of each tensor of a directory's `model.safetensors`, or of its shards.
    ///
    /// @param files gets each file that is opened, to be closed by the caller
    public static Map<String, SafeTensors> locate(Path directory, List<SafeTensors> files) {
        Map<String, SafeTensors> tensors = new TreeMap<>();
        Path single = directory.resolve(SINGLE);
        Path index = directory.resolve(INDEX);
        if (Files.exists(single)) {
            files.add(SafeTensors.open(single));
            files.getFirst().names().forEach(n -> tensors.put(n, files.getFirst()));
            return tensors;
        }
        if (!Files.exists(index))
            throw new FormatException(directory, "has neither " + SINGLE + " nor " + INDEX
                    + "; Gyre reads safetensors only, convert other formats with transformers' save_pretrained");
        JsonNode map = Json.readObject(index).path("weight_map");
        if (!map.isObject() || map.isEmpty())
            throw new FormatException(index, "weight_map is missing or empty; get the file again");
        Map<String, SafeTensors> shards = new TreeMap<>();
        for (Map.Entry<String, JsonNode> e : map.properties()) {
            if (!e.getValue().isString() || !e.getValue().stringValue().matches("[\\w][\\w.+-]*"))
                throw new FormatException(index, "weight_map." + e.getKey() + ": " + e.getValue()
                        + " is not a file name; get the file again");
            String name = e.getValue().stringValue();
            SafeTensors shard = shards.get(name);
            if (shard == null) {
                if (!Files.exists(directory.resolve(name)))
                    throw new FormatException(index, "names shard " + name + " for tensor '" + e.getKey()
                            + "', but the directory has no such file; get the missing shard");
                shard = SafeTensors.open(directory.resolve(name));
                files.add(shard);
                shards.put(name, shard);
            }
            // published indexes name tensors that were left out of the shards; what the model needs is looked for below
            if (shard.contains(e.getKey()))
                tensors.put(e.getKey(), shard);
        }
        // and shards hold tensors that the index does not name: transformers reads those as well
        for (SafeTensors shard : files)
            shard.names().forEach(n -> tensors.putIfAbsent(n, shard));
        return tensors;
    }

    /// safetensors stores one of two tensors that share their memory: of an embedding and the head tied to it, it may be the
    /// head. Then the head is the embedding.
    private void nameTied() {
        if (config.tieWordEmbeddings() && tensors.get(HEAD) instanceof SafeTensors file
                && !tensors.containsKey(EMBEDDING)) {
            file.rename(HEAD, EMBEDDING);
            tensors.remove(HEAD);
            tensors.put(EMBEDDING, file);
        }
    }

    private void readStates() {
        quantized.putAll(BnbFiles.states(tensors));
    }

    private void checkTensors() {
        for (Map.Entry<String, List<Long>> e : config.tensorShapes().entrySet()) {
            String name = e.getKey();
            WeightFile file = tensors.get(name);
            if (file == null)
                throw new FormatException(directory, "tensor '" + name + "' " + TensorInfo.text(e.getValue())
                        + " is missing, which " + CONFIG + " calls for" + hint(name));
            TensorInfo t = file.info(name);
            if (!isQuantized(name) && t.type() != TensorType.F32 && t.type() != TensorType.F16
                    && t.type() != TensorType.BF16)
                throw new FormatException(file.file(), "tensor '" + name + "' is " + t.type() + " and has no NF4"
                        + " quantisation state; expected F32, F16, BF16 or bitsandbytes NF4");
            List<Long> shape = shape(name);
            if (!shape.equals(e.getValue()))
                throw new FormatException(file.file(), "tensor '" + name + "' has shape " + TensorInfo.text(shape)
                        + ", but " + CONFIG + " calls for " + TensorInfo.text(e.getValue())
                        + "; use the config.json that belongs to these weights");
        }
    }

    /// transformers ties head and embedding only when they are equal (before 5.0 always), so the user must say which is
    /// meant.
    private void checkTied() {
        if (config.tieWordEmbeddings() && tensors.get(HEAD) instanceof SafeTensors head
                && file(EMBEDDING) instanceof SafeTensors embedding && !head.same(HEAD, embedding, EMBEDDING))
            throw new FormatException(directory.resolve(CONFIG), "tie_word_embeddings is true, but the weights hold a"
                    + " '" + HEAD + "' that differs from '" + EMBEDDING + "'; set tie_word_embeddings to false to use"
                    + " both, or take '" + HEAD + "' out of the weights");
    }

    private String hint(String name) {
        if (name.equals("lm_head.weight"))
            return "; if the output head is tied to the embedding, set tie_word_embeddings to true";
        if (name.endsWith(".bias"))
            return "; check attention_bias and mlp_bias";
        if (tensors.containsKey(name.replaceFirst("^model\\.", "")))
            return "; the names lack the prefix 'model.', save the model as a causal language model";
        return "; the model is incomplete or of another architecture";
    }

    public Path directory() {
        return directory;
    }

    /// `file`, which lies in `directory` and may be a link: into the directory or, where it is a snapshot of the Hugging Face
    /// cache (`models--X/snapshots/REVISION`), into the blobs of the same model or those that the cache's models share. What lies elsewhere was not given with the
    /// model, and must not be copied into a result.
    public static Path requireInside(Path directory, Path file) {
        try {
            Path home = directory.toRealPath();
            Path real = file.toRealPath();
            Path snapshots = home.getParent();
            boolean cached = snapshots != null && snapshots.endsWith("snapshots")
                    && (real.startsWith(snapshots.resolveSibling("blobs")) || real.startsWith(shared(snapshots)));
            if (real.startsWith(home) || cached)
                return file;
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        throw new FormatException(file, "is a link to a file outside the model's directory, which is not copied into a"
                + " result; put the file itself in its place, or remove the link");
    }

    /// `blobs` next to `models--X`, where newer versions of Python's tools put what several models have.
    private static Path shared(Path snapshots) {
        Path model = snapshots.toAbsolutePath().getParent();
        return model != null && String.valueOf(model.getFileName()).startsWith("models--")
                ? model.resolveSibling("blobs") : snapshots.resolveSibling("blobs");
    }

    public ModelConfig config() {
        return config;
    }

    /// A copy of `config.json` as read.
    public ObjectNode configJson() {
        return configJson.deepCopy();
    }

    /// All tensors of the files, those included that no configuration calls for.
    public Map<String, TensorInfo> tensors() {
        Map<String, TensorInfo> all = new TreeMap<>();
        tensors.forEach((name, file) -> all.put(name, file.info(name)));
        return Collections.unmodifiableMap(all);
    }

    public boolean contains(String name) {
        return tensors.containsKey(name);
    }

    /// Warnings about the files: biases among unused tensors mean that config.json and weights do not belong together; and
    /// transformers would train with the dropouts inside the model that config.json asks for.
    public List<String> warnings() {
        List<String> all = new ArrayList<>();
        List<String> unused = unusedTensors();
        if (!unused.isEmpty())
            all.add(directory + ": " + unused.size()
                    + (unused.size() == 1 ? " tensor is ignored, which " : " tensors are ignored, which ") + CONFIG
                    + " does not call for: "
                    + String.join(", ", unused.subList(0, Math.min(3, unused.size())))
                    + (unused.size() > 3 ? ", ..." : ""));
        for (String key : DROPOUTS)
            if (configJson.path(key).isNumber() && configJson.path(key).doubleValue() != 0)
                all.add(directory.resolve(CONFIG) + ": " + key + " " + configJson.path(key)
                        + " has no effect; Gyre trains without dropout inside the model, adapters have dropouts of"
                        + " their own");
        return all;
    }

    /// Tensors that a model of this configuration does not use, except a tied output head.
    public List<String> unusedTensors() {
        var used = config.tensorShapes().keySet();
        return tensors.keySet().stream().filter(n -> !used.contains(n) && !BnbLayout.isCompanion(n)
                && !n.endsWith(".rotary_emb.inv_freq") && !(n.equals("lm_head.weight") && config.tieWordEmbeddings()))
                .toList();
    }

    /// Whether the weight is stored as NF4.
    public boolean isQuantized(String name) {
        return quantized.containsKey(name);
    }

    /// The type a weight is stored in, or for NF4 the one it was quantised from.
    public TensorType originalType(String name) {
        BnbLayout.QuantState q = quantized.get(name);
        return q == null ? file(name).info(name).type() : switch (q.dtype()) {
            case "float16" -> TensorType.F16;
            case "bfloat16" -> TensorType.BF16;
            default -> TensorType.F32;
        };
    }

    /// The logical shape of a weight, also under NF4.
    public List<Long> shape(String name) {
        BnbLayout.QuantState q = quantized.get(name);
        return q == null ? file(name).info(name).shape() : q.shape().stream().map(Integer::longValue).toList();
    }

    /// Where the arrays of a weight come from.
    public interface Arrays {
        short[] shorts(int n);

        float[] floats(int n);

        /// New ones.
        Arrays FRESH = new Arrays() {
            @Override
            public short[] shorts(int n) {
                return new short[n];
            }

            @Override
            public float[] floats(int n) {
                return new float[n];
            }
        };

        /// One of each length, used again and again: for weights that are read one after another. A model has few
        /// shapes, and the collector need not keep up with arrays of this size.
        static Arrays reused() {
            Map<Integer, short[]> shorts = new TreeMap<>();
            Map<Integer, float[]> floats = new TreeMap<>();
            return new Arrays() {
                @Override
                public short[] shorts(int n) {
                    return shorts.computeIfAbsent(n, short[]::new);
                }

                @Override
                public float[] floats(int n) {
                    return floats.computeIfAbsent(n, float[]::new);
                }
            };
        }
    }

    /// The type in which [#weight] gives a weight: NF4 as stored, matrices of BF16 as stored, everything else F32.
    public DType type(String name) {
        if (isQuantized(name))
            return DType.NF4;
        TensorInfo t = file(name).info(name);
        return t.type() == TensorType.BF16 && t.shape().size() == 2 ? DType.BF16 : DType.F32;
    }

    /// Reads a weight, in [#type]; F16, and BF16 of norms and biases, are widened exactly.
    public HostData weight(String name) {
        return weight(name, Arrays.FRESH);
    }

    public HostData weight(String name, Arrays arrays) {
        WeightFile file = file(name);
        return switch (type(name)) {
            case NF4 -> BnbFiles.weight(name, tensors);
            case BF16 -> new HostData.BF16(file.bf16(name, arrays::shorts));
            case F32 -> new HostData.F32(file.f32(name, arrays::floats));
            case I32 -> throw new AssertionError(name);
        };
    }

    /// As [#weight(String)], but matrices of SafeTensors that are not in NF4 stay in their files, which must not change; they can be read after
    /// this directory was closed.
    public HostData stored(String name) {
        DType type = type(name);
        return type != DType.NF4 && file(name) instanceof SafeTensors file && file.info(name).shape().size() == 2
                ? file.stored(name, type) : weight(name);
    }

    WeightFile file(String name) {
        WeightFile file = tensors.get(name);
        if (file == null)
            throw new FormatException(directory, "has no tensor '" + name + "'");
        return file;
    }

    @Override
    public void close() {
        files.forEach(WeightFile::close);
    }
}
