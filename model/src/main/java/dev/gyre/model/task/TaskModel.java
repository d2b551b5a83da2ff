package dev.gyre.model.task;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.EncoderConfig.Normalise;
import dev.gyre.model.family.EncoderConfig.Stage;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import dev.gyre.model.weights.Storage;
import dev.gyre.quant.Nf4;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/// A body with its head on the host: configuration, weights by their names in transformers, and the adapters attached to
/// it. It computes nothing itself; a [TaskSession] does.
public final class TaskModel implements Buffers.Source, Sites {
    /// Standard deviation of fresh weights, `initializer_range`'s default.
    private static final double INITIALIZER_RANGE = 0.02;

    private final TaskConfig config;
    private final Map<String, int[]> dims;
    private final Map<String, HostData> weights = new LinkedHashMap<>();
    private final Map<String, Adapter> adapters = new LinkedHashMap<>();
    private final Set<String> fresh;

    private TaskModel(TaskConfig config, Set<String> fresh) {
        this.config = config;
        this.dims = config.tensorShapes();
        this.fresh = fresh;
    }

    /// Reads all weights of a model directory, weight by weight in the form in which they are held. Tensors of the head that
    /// the directory lacks are drawn: [#fresh].
    ///
    /// @param seed of what is drawn
    public static TaskModel load(TaskDir dir, Storage storage, long seed) {
        TaskModel m = new TaskModel(dir.config(), new LinkedHashSet<>());
        Random random = new Random(seed);
        Set<String> matrices = m.matrices();
        m.dims.forEach((name, shape) -> {
            HostData data;
            if (dir.contains(name))
                data = dir.weight(name, matrices.contains(name));
            else {
                data = draw(name, shape, random);
                m.fresh.add(name);
            }
            m.weights.put(name, matrices.contains(name) ? storage.of(name, 2, data) : data);
        });
        return m;
    }

    /// Random weights as the reference library initialises them: normal with deviation 0.02, norms 1, biases 0.
    public static TaskModel random(TaskConfig config, long seed) {
        TaskModel m = new TaskModel(config, new LinkedHashSet<>());
        Random random = new Random(seed);
        m.dims.forEach((name, shape) -> m.weights.put(name, draw(name, shape, random)));
        return m;
    }

    private static HostData draw(String name, int[] shape, Random random) {
        int n = 1;
        for (int s : shape)
            n = Math.multiplyExact(n, s);
        float[] v = new float[n];
        for (int i = 0; i < n; i++)
            v[i] = shape.length == 2 ? (float) (random.nextGaussian() * INITIALIZER_RANGE)
                    : name.endsWith("bias") ? 0f : 1f;
        return new HostData.F32(v);
    }

    /// Weights that may be held in 16 or 4 bits: those of linear modules, and tables of tokens.
    private Set<String> matrices() {
        Set<String> out = new LinkedHashSet<>(config.tables());
        for (Site s : config.linears())
            out.add(s.weight());
        return out;
    }

    public TaskConfig config() {
        return config;
    }

    /// Tensors of the head that were drawn, not read.
    public Set<String> fresh() {
        return Collections.unmodifiableSet(fresh);
    }

    /// Names of the modules that hold [#fresh] tensors, with the last one of the head: what an adapter trains whole.
    public List<String> headModules() {
        Set<String> out = new LinkedHashSet<>();
        for (Stage s : config.head().stages())
            switch (s) {
            case dev.gyre.model.family.EncoderConfig.Dense d -> {
                if (fresh.contains(d.site().weight()) || d.equals(config.head().stages().getLast()))
                    out.add(d.site().path());
            }
            case Normalise n -> {
                if (fresh.contains(n.norm().path() + ".weight"))
                    out.add(n.norm().path());
            }
            case dev.gyre.model.family.EncoderConfig.Act _ -> {
            }
            }
        return List.copyOf(out);
    }

    public Map<String, HostData> weights() {
        return Collections.unmodifiableMap(weights);
    }

    /// Number of parameters without adapters.
    public long parameters() {
        return weights.values().stream().mapToLong(HostData::size).sum();
    }

    /// A weight as the adapters leave it: some bring their own in its place.
    @Override
    public HostData data(String name) {
        for (Adapter a : adapters.values()) {
            HostData own = a.replaced().get(name);
            if (own != null)
                return own;
        }
        return Buffers.Source.known(weights, name);
    }

    @Override
    public int[] dims(String name) {
        return Buffers.Source.known(dims, name).clone();
    }

    /// The values of a weight in F32, a fresh array.
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
        return config.linears();
    }

    /// The token table as a module; adapters cannot sit on it.
    @Override
    public Site embedding() {
        String table = config.tables().isEmpty() ? "no.table.weight" : config.tables().getFirst();
        return new Site(table.substring(0, table.lastIndexOf('.')), config.hiddenSize(), config.hiddenSize(), false);
    }

    @Override
    public List<Site> adaptable() {
        return linears();
    }

    @Override
    public String taskType() {
        return config.taskType();
    }

    @Override
    public Map<String, int[]> others() {
        Map<String, int[]> out = new LinkedHashMap<>(dims);
        for (Site s : config.linears()) {
            out.remove(s.path() + ".weight");
            out.remove(s.path() + ".bias");
        }
        return out;
    }

    /// Puts an adapter on the model; several are nested in the order of attaching, the first outermost. Sessions that are
    /// open already do not change.
    ///
    /// @throws InputException when the name is taken, or when two adapters train the same weight of the model
    public void attach(String name, Adapter adapter) {
        if (adapters.containsKey(name))
            throw new InputException("an adapter named " + name + " is attached already; choose another name");
        for (Adapter a : adapters.values())
            for (Tensor t : a.whole())
                if (adapter.whole().stream().anyMatch(w -> w.name().equals(t.name())))
                    throw new InputException("two adapters bring their own " + t.name()
                            + " (a trained bias or a module of modules_to_save); only one can have it");
        adapters.put(name, adapter);
    }

    /// The attached adapters by name, outermost first.
    public Map<String, Adapter> named() {
        return Collections.unmodifiableMap(adapters);
    }

    public List<Adapter> adapters() {
        return List.copyOf(adapters.values());
    }

    static Map<String, List<AdapterLayer>> byModule(List<Adapter> adapters) {
        Map<String, List<AdapterLayer>> out = new LinkedHashMap<>();
        for (Adapter a : adapters)
            for (AdapterLayer m : a.modules())
                out.computeIfAbsent(m.module(), _ -> new ArrayList<>()).add(m);
        return out;
    }

    /// Trainable twins of all weights, for full fine-tuning. Norms and biases do not decay.
    List<Tensor> allWeights() {
        List<Tensor> out = new ArrayList<>();
        weights.forEach((name, data) -> {
            Storage.requireExact(name, data);
            int[] d = dims(name);
            out.add(new Tensor(name, values(name), d.length == 2, d));
        });
        return out;
    }

    /// The type in which a weight is held.
    @Override
    public DType dtype(String name) {
        return data(name).dtype();
    }
}
