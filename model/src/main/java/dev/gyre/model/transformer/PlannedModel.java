package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import dev.gyre.model.weights.Storage;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// A model of which only shapes and types are known: enough to emit the programs of a run and to plan its memory, from
/// `config.json` and the headers of the weight files, without reading a weight.
public final class PlannedModel implements Buffers.Source, Sites {
    private final ModelConfig config;
    private final Map<String, DType> types;
    private final Map<String, int[]> dims;

    private final long bytes;
    private final long inFiles;
    private final boolean doubled;

    private PlannedModel(ModelConfig config, Map<String, DType> types, long bytes, long inFiles, boolean doubled) {
        this.config = config;
        this.types = types;
        this.dims = Transformer.shapes(config);
        this.bytes = bytes;
        this.inFiles = inFiles;
        this.doubled = doubled;
    }

    /// The model of a directory as [Transformer#load] would hold it in this form.
    public static PlannedModel of(ModelDir dir, Storage storage) {
        return of(dir.config(), storage, dir::type);
    }

    /// A new model in F32, as `gyre pretrain` makes it.
    public static PlannedModel of(ModelConfig config) {
        return of(config, Storage.F32, _ -> DType.F32);
    }

    private static PlannedModel of(ModelConfig config, Storage storage, Function<String, DType> files) {
        Map<String, DType> types = new LinkedHashMap<>();
        long bytes = 0;
        long inFiles = 0;
        for (var e : Transformer.shapes(config).entrySet()) {
            String name = e.getKey();
            int rank = e.getValue().length;
            DType found = files.apply(name);
            DType held = storage.type(name, rank, found);
            long n = storage.bytes(name, rank, found, size(e.getValue()));
            types.put(name, held);
            bytes += n;
            if (rank == 2 && held == found && held != DType.NF4)
                inFiles += n;
        }
        return new PlannedModel(config, types, bytes, inFiles, storage == Storage.NF4_DOUBLE);
    }

    public ModelConfig config() {
        return config;
    }

    /// Number of parameters.
    public long parameters() {
        return config.parameters();
    }

    /// Bytes of all weights as they are held.
    public long bytes() {
        return bytes;
    }

    /// Of [#bytes], what stays in its files for a session on a device ([Transformer#load(ModelDir,Storage,boolean)]).
    public long bytesInFiles() {
        return inFiles;
    }

    /// Bytes of all weights as a [dev.gyre.kernels.MemoryPlan] counts them, which takes every NF4 maximum for a float.
    public long plannedBytes() {
        long n = 0;
        for (String name : types.keySet())
            n += dtype(name).bytes(size(dims(name))) + (dtype(name) == DType.NF4 ? size(dims(name)) / 16 : 0);
        return n;
    }

    private static long size(int[] dims) {
        long n = 1;
        for (int d : dims)
            n *= d;
        return n;
    }

    /// An adapter on this model: its tensors have their sizes and no values.
    public Adapter adapter(AdapterOptions options) {
        return Adapter.planned(options, this);
    }

    /// The programs of a training run on the CPU, and their memory.
    ///
    /// @param adapter null: all weights are trained
    /// @param accumulate micro-batches of a step
    public StepPlan plan(@Nullable Adapter adapter, List<BatchShape> shapes, Set<LearningSession.Use> uses,
            int accumulate) {
        return plan(adapter, shapes, uses, accumulate, Backend.LOGITS);
    }

    /// @param accumulate micro-batches of a step
    /// @param logits that a program holds at once ([Backend#logits])
    public StepPlan plan(@Nullable Adapter adapter, List<BatchShape> shapes, Set<LearningSession.Use> uses,
            int accumulate, int logits) {
        List<Tensor> weights = new ArrayList<>();
        if (adapter == null)
            dims.forEach((name, d) -> weights.add(Tensor.planned(name, d.length == 2, d)));
        return new StepPlan(config, this, weights, adapter == null ? List.of() : List.of(adapter), shapes, uses,
                accumulate, logits);
    }

    /// Whether the maxima of NF4 weights are quantised again.
    public boolean doubled() {
        return doubled;
    }

    /// The programs of a [BatchDecoder].
    ///
    /// @param models each with the adapters on it, outermost first
    public List<Program> server(List<List<Adapter>> models, int slots, int positions) {
        return BatchDecoder.emit(config, models.stream().map(a -> new BatchDecoder.Variant(this, a)).toList(), slots,
                positions).programs();
    }

    /// The programs of a [Decoder].
    ///
    /// @param adapter null: none, or all weights are trained
    public List<Program> decoder(@Nullable Adapter adapter, int maxPositions) {
        return Decoder.emit(config, this, adapter == null ? List.of() : List.of(adapter), maxPositions).programs();
    }

    /// Bytes of a [Decoder] without the weights, which it shares.
    ///
    /// @param adapter null: none, or all weights are trained
    public long decoderBytes(@Nullable Adapter adapter, int maxPositions) {
        return Decoder.emit(config, this, adapter == null ? List.of() : List.of(adapter), maxPositions).bytes();
    }

    @Override
    public DType dtype(String name) {
        return Buffers.Source.known(types, name);
    }

    @Override
    public int[] dims(String name) {
        return Buffers.Source.known(dims, name).clone();
    }

    /// Zeros, for the biases that an adapter trains whole; weights have no values here.
    @Override
    public HostData data(String name) {
        if (dims(name).length != 1)
            throw new IllegalStateException(name + " is planned only and has no values");
        return new HostData.F32(new float[dims(name)[0]]);
    }

    @Override
    public boolean shares(String name, Buffers.Source other) {
        return other instanceof PlannedModel && dtype(name) == other.dtype(name);
    }

    @Override
    public Map<String, int[]> others() {
        return Transformer.others(config);
    }

    @Override
    public List<Site> linears() {
        return Transformer.linears(config);
    }

    @Override
    public Site embedding() {
        return Transformer.embedding(config);
    }
}
