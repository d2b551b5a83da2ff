package dev.gyre.model.transformer;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import dev.gyre.model.weights.Storage;
import dev.gyre.quant.Nf4;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/// A Llama-style causal language model on the host: configuration, weights by their Hugging Face names, and the adapters
/// attached to it. It computes nothing itself; a [TrainSession] or a [Decoder] does.
public final class Transformer implements Buffers.Source, Sites {
    /// Standard deviation of fresh weights, `initializer_range`'s default.
    public static final double INITIALIZER_RANGE = 0.02;

    private final ModelConfig config;
    private final Map<String, HostData> weights;
    private final Map<String, int[]> dims;
    private final Map<String, Adapter> adapters = new LinkedHashMap<>();
    private final Set<String> off = new HashSet<>();

    private Transformer(ModelConfig config, Map<String, HostData> weights) {
        this.config = config;
        this.weights = weights;
        this.dims = shapes(config);
        for (String name : dims.keySet())
            if (!weights.containsKey(name))
                throw new InputException("the model lacks the tensor " + name);
    }

    static Map<String, int[]> shapes(ModelConfig config) {
        Map<String, int[]> out = new LinkedHashMap<>();
        config.tensorShapes().forEach((name, s) -> out.put(name, s.stream().mapToInt(Math::toIntExact).toArray()));
        return out;
    }

    static Map<String, int[]> others(ModelConfig config) {
        Map<String, int[]> out = new LinkedHashMap<>();
        shapes(config).forEach((name, shape) -> {
            if (name.endsWith("norm.weight") || name.equals(ModelConfig.EMBEDDING + ".weight"))
                out.put(name, shape);
        });
        return out;
    }

    /// Reads all weights of a model directory. BF16 weights of linear layers and embeddings stay BF16 in memory, F16 is
    /// widened to F32 (exactly), norms and biases always are.
    public static Transformer load(ModelDir dir) {
        return load(dir, Storage.AS_STORED);
    }

    /// As [#load(ModelDir)] and [#store], weight by weight, so that the model is never held twice.
    public static Transformer load(ModelDir dir, Storage storage) {
        return load(dir, storage, false);
    }

    /// @param inFiles whether matrices that need no other type stay in their files, for sessions on a device
    public static Transformer load(ModelDir dir, Storage storage, boolean inFiles) {
        ModelDir.Arrays reused = ModelDir.Arrays.reused();
        Map<String, HostData> w = new LinkedHashMap<>();
        shapes(dir.config()).forEach((name, shape) -> {
            DType type = dir.type(name);
            boolean kept = storage.type(name, shape.length, type) == type;
            w.put(name, storage.of(name, shape.length, kept && inFiles ? dir.stored(name)
                    : dir.weight(name, kept ? ModelDir.Arrays.FRESH : reused)));
        });
        return new Transformer(dir.config(), w);
    }

    /// The modules of a model directory, with each weight read when it is asked for into an array that the next of its
    /// shape takes again.
    public static Sites reading(ModelDir dir) {
        ModelDir.Arrays reused = ModelDir.Arrays.reused();
        return new Sites() {
            @Override
            public List<Site> linears() {
                return Transformer.linears(dir.config());
            }

            @Override
            public Site embedding() {
                return Transformer.embedding(dir.config());
            }

            @Override
            public Map<String, int[]> others() {
                return Transformer.others(dir.config());
            }

            @Override
            public HostData data(String name) {
                return dir.weight(name, reused);
            }
        };
    }

    /// Random weights as the reference library initialises them: normal with deviation [#INITIALIZER_RANGE], norms 1, biases 0.
    public static Transformer random(ModelConfig config, long seed) {
        return random(config, seed, Storage.F32);
    }

    /// As [#random] and [#store], weight by weight, so that the model is never held twice.
    public static Transformer random(ModelConfig config, long seed, Storage storage) {
        Map<String, HostData> w = new LinkedHashMap<>();
        Map<Integer, float[]> reused = new HashMap<>();
        Random random = new Random(seed);
        shapes(config).forEach((name, shape) -> {
            int n = 1;
            for (int s : shape)
                n = Math.multiplyExact(n, s);
            boolean kept = storage.type(name, shape.length, DType.F32) == DType.F32;
            float[] v = kept ? new float[n] : reused.computeIfAbsent(n, float[]::new);
            for (int i = 0; i < n; i++)
                v[i] = shape.length == 2 ? (float) (random.nextGaussian() * INITIALIZER_RANGE)
                        : name.endsWith("bias") ? 0f : (float) (1 - config.norms().offset());
            w.put(name, storage.of(name, shape.length, new HostData.F32(v)));
        });
        return new Transformer(config, w);
    }

    public ModelConfig config() {
        return config;
    }

    /// The same weights, in the same memory, without adapters: for adapters that are not nested but chosen from.
    public Transformer bare() {
        return new Transformer(config, weights);
    }

    /// All weights by their Hugging Face names.
    public Map<String, HostData> weights() {
        return Collections.unmodifiableMap(weights);
    }

    /// Bytes of the weights that are still in their files.
    public long bytesInFiles() {
        return HostData.Stored.bytes(weights.values());
    }

    /// Number of parameters without adapters; a tied output head counts once.
    public long parameters() {
        return weights.values().stream().mapToLong(HostData::size).sum();
    }

    /// A weight as the adapters that are on leave it: some bring their own in its place.
    @Override
    public HostData data(String name) {
        for (Adapter a : adapters()) {
            HostData own = a.replaced().get(name);
            if (own != null)
                return own;
        }
        return Buffers.Source.known(weights, name);
    }

    @Override
    public Map<String, int[]> others() {
        return others(config);
    }

    @Override
    public int[] dims(String name) {
        return Buffers.Source.known(dims, name).clone();
    }

    /// Changes how the weights are stored. NF4 covers the linear layers of the decoder layers; embedding, output head, norms
    /// and biases keep their type, as with bitsandbytes. Weights that are NF4 already keep their codes.
    ///
    /// @throws InputException when NF4 weights would have to become something else
    public void store(Storage storage) {
        for (String name : List.copyOf(weights.keySet()))
            weights.put(name, storage.of(name, dims(name).length, Buffers.Source.known(weights, name)));
    }

    /// The values of a weight in F32, as the model computes with them; a fresh array.
    public float[] values(String name) {
        HostData w = data(name);
        return w instanceof HostData.NF4 q ? Nf4.dequantize(q) : w.decode(0, Math.toIntExact(w.size()));
    }

    /// Replaces a weight, as full fine-tuning and merging do.
    public void replace(String name, float[] values) {
        if (data(name).size() != values.length)
            throw new InputException(name + " has " + data(name).size() + " values, got " + values.length);
        weights.put(name, new HostData.F32(values));
    }

    @Override
    public List<Site> linears() {
        return linears(config);
    }

    static List<Site> linears(ModelConfig config) {
        List<Site> out = new ArrayList<>(config.linears());
        out.add(new Site(ModelConfig.HEAD, config.hiddenSize(), config.vocabSize(), false));
        return out;
    }

    @Override
    public String weight(Site module) {
        return config.tieWordEmbeddings() && module.path().equals(ModelConfig.HEAD) ? ModelConfig.EMBEDDING + ".weight"
                : module.path() + ".weight";
    }

    @Override
    public Site embedding() {
        return embedding(config);
    }

    static Site embedding(ModelConfig config) {
        return new Site(ModelConfig.EMBEDDING, config.hiddenSize(), config.hiddenSize(), false);
    }

    /// [#attach(String, Adapter)] under the method's name, numbered where that is taken.
    public void attach(Adapter adapter) {
        String method = adapter.options().title();
        String name = method;
        for (int i = 2; adapters.containsKey(name); i++)
            name = method + " " + i;
        attach(name, adapter);
    }

    /// Puts an adapter on the model; several are nested in the order of attaching, the first outermost: two OFT adapters
    /// give `x R_0 R_1 W^T`. Sessions that are open already do not change.
    ///
    /// @throws InputException when the name is taken, or when two adapters train the same weight of the model
    public void attach(String name, Adapter adapter) {
        if (adapters.containsKey(name))
            throw new InputException(
                    "an adapter named " + name + " is attached already; choose another name");
        for (Adapter a : adapters.values())
            for (String own : a.replaced().keySet())
                if (adapter.replaced().containsKey(own))
                    throw new InputException("two adapters bring their own " + own
                            + " (a copy of the embedding or head, trained tokens, or a PiSSA or OLoRA start); only one"
                            + " can have it");
        for (Adapter a : adapters.values())
            for (Tensor t : a.whole())
                if (adapter.whole().stream().anyMatch(w -> w.name().equals(t.name())))
                    throw new InputException("two adapters bring their own " + t.name()
                            + " (a trained bias or a module of modules_to_save); only one can have it");
        adapters.put(name, adapter);
    }

    public void detach(String name) {
        named(name);
        adapters.remove(name);
        off.remove(name);
    }

    /// Switches an adapter off, or on again, for the sessions opened from now on.
    public void enable(String name, boolean on) {
        named(name);
        if (on)
            off.remove(name);
        else
            off.add(name);
    }

    /// The adapter attached under a name, switched on or not.
    public Adapter named(String name) {
        Adapter a = adapters.get(name);
        if (a == null)
            throw new InputException("no adapter is named " + name + "; the model has "
                    + (adapters.isEmpty() ? "none" : String.join(", ", adapters.keySet())));
        return a;
    }

    /// Names of all attached adapters, outermost first, those that are switched off included.
    public List<String> adapterNames() {
        return List.copyOf(adapters.keySet());
    }

    /// The adapters that are switched on, outermost first.
    public List<Adapter> adapters() {
        List<Adapter> out = new ArrayList<>();
        adapters.forEach((name, a) -> {
            if (!off.contains(name))
                out.add(a);
        });
        return Collections.unmodifiableList(out);
    }

    /// Adapters by module path, outermost first.
    Map<String, List<AdapterLayer>> byModule() {
        return byModule(adapters());
    }

    static Map<String, List<AdapterLayer>> byModule(List<Adapter> adapters) {
        Map<String, List<AdapterLayer>> out = new LinkedHashMap<>();
        for (Adapter a : adapters)
            for (AdapterLayer m : a.modules())
                out.computeIfAbsent(m.module(), _ -> new ArrayList<>()).add(m);
        return out;
    }

    /// Trainable twins of all weights: what full fine-tuning and pre-training change. Norms and biases do not decay.
    List<Tensor> allWeights() {
        List<Tensor> out = new ArrayList<>();
        weights.forEach((name, data) -> {
            Storage.requireExact(name, data);
            float[] values = values(name);
            int[] d = dims(name);
            out.add(new Tensor(name, values, d.length == 2, d));
        });
        return out;
    }
}
