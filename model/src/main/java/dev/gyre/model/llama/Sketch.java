package dev.gyre.model.llama;

import dev.gyre.kernels.DType;
import dev.gyre.kernels.HostData;
import dev.gyre.kernels.Program;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterSpec;
import dev.gyre.model.adapter.Modules;
import dev.gyre.model.adapter.PrincipalFactors;
import dev.gyre.model.config.LlamaConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.step.Store;
import dev.gyre.model.step.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A model of which only shapes and types are known: enough to emit the programs of a run and to plan its memory, from
/// `config.json` and the headers of the weight files, without reading a weight.
public final class Sketch implements Store.Source, Modules {
    private final LlamaConfig config;
    private final Map<String, DType> types;
    private final Map<String, int[]> dims;

    private final boolean doubled;

    private Sketch(LlamaConfig config, Map<String, DType> types, boolean doubled) {
        this.doubled = doubled;
        this.config = config;
        this.types = types;
        this.dims = Llama.shapes(config);
    }

    /// The model of a directory as [Llama#load] would hold it after [Llama#store].
    public static Sketch of(ModelDir dir, Llama.Base base) {
        Map<String, DType> types = new LinkedHashMap<>();
        Llama.shapes(dir.config()).forEach((name, shape) -> {
            DType stored = dir.isQuantized(name) ? DType.NF4
                    : shape.length == 2 && dir.originalType(name) == TensorType.BF16 ? DType.BF16 : DType.F32;
            types.put(name, Llama.stored(base, name, shape.length, stored));
        });
        return new Sketch(dir.config(), types, base == Llama.Base.NF4_DOUBLE);
    }

    /// A new model in F32, as `gyre pretrain` makes it.
    public static Sketch of(LlamaConfig config) {
        Map<String, DType> types = new LinkedHashMap<>();
        Llama.shapes(config).keySet().forEach(name -> types.put(name, DType.F32));
        return new Sketch(config, types, false);
    }

    public LlamaConfig config() {
        return config;
    }

    /// Number of weights.
    public long parameters() {
        return config.parameters();
    }

    /// Bytes of all weights as they are held.
    public long bytes() {
        long n = 0;
        for (String name : types.keySet())
            n += dtype(name) != DType.NF4 ? dtype(name).bytes(size(name)) : nf4(size(name));
        return n;
    }

    /// Codes and block maxima: plain floats, or codes of them with a float per 256.
    private long nf4(long size) {
        long blocks = size / 64;
        return (size + 1) / 2 + (doubled ? blocks + blocks / 256 * 4 : 4 * blocks);
    }

    /// Bytes of all weights as a [dev.gyre.kernels.MemoryPlan] counts them, which takes every NF4 maximum for a float.
    public long plannedBytes() {
        long n = 0;
        for (String name : types.keySet())
            n += dtype(name).bytes(size(name)) + (dtype(name) == DType.NF4 ? size(name) / 16 : 0);
        return n;
    }

    private long size(String name) {
        long n = 1;
        for (int d : dims(name))
            n *= d;
        return n;
    }

    /// An adapter on this model: its tensors have their sizes, and for PSOFT its factors are zero.
    public Adapter adapter(AdapterSpec spec) {
        return Adapter.create(spec, this, 0,
                (info, s) -> new PrincipalFactors(new float[s.r() * info.in()], new float[s.r() * info.out()]));
    }

    /// The programs of a training run, and their memory.
    ///
    /// @param adapter null: all weights are trained
    public StepPlan plan(@Nullable Adapter adapter, List<BatchShape> shapes, Set<TrainSession.Use> uses) {
        List<Tensor> weights = new ArrayList<>();
        if (adapter == null)
            dims.forEach((name, d) -> weights.add(Tensor.planned(name, d.length == 2, d)));
        return new StepPlan(config, this, weights, adapter == null ? List.of() : List.of(adapter), shapes, uses);
    }

    /// Whether the maxima of NF4 weights are quantised again.
    public boolean doubled() {
        return doubled;
    }

    /// The programs of a [Decoder].
    ///
    /// @param adapter null: none, or all weights are trained
    public List<Program> decoder(@Nullable Adapter adapter, int maxPositions) {
        return Decoder.emit(config, this, adapter == null ? List.of() : List.of(adapter), maxPositions).programs();
    }

    /// Bytes of a [Decoder] beside the weights, which it reads where they are.
    ///
    /// @param adapter null: none, or all weights are trained
    public long decoderBytes(@Nullable Adapter adapter, int maxPositions) {
        return Decoder.emit(config, this, adapter == null ? List.of() : List.of(adapter), maxPositions).bytes();
    }

    @Override
    public DType dtype(String name) {
        return Store.Source.known(types, name);
    }

    @Override
    public int[] dims(String name) {
        return Store.Source.known(dims, name).clone();
    }

    /// Zeros, for the biases that an adapter trains whole; weights have no numbers here.
    @Override
    public HostData data(String name) {
        if (dims(name).length != 1)
            throw new IllegalStateException(name + " is planned only and has no numbers");
        return new HostData.F32(new float[dims(name)[0]]);
    }

    @Override
    public List<Info> linears() {
        return Llama.linears(config);
    }

    @Override
    public Info embedding() {
        return Llama.embedding(config);
    }
}
