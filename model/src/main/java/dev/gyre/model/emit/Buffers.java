package dev.gyre.model.emit;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The buffers of a model's parameters, the same in all programs of a session. Frozen weights are one WEIGHT buffer each.
/// Trainable tensors are views of one PARAM buffer, their gradients and moments of three more of the same size, so that
/// the gradient norm and AdamW are one pass each: tensors with weight decay first, then the others.
public final class Buffers {
    /// Where the frozen weights come from.
    public interface Source {
        /// Values of the frozen tensor `name`.
        HostData data(String name);

        int[] dims(String name);

        /// The type that [#data] has.
        default DType dtype(String name) {
            return data(name).dtype();
        }

        /// Whether `other` has the very same values under this name.
        default boolean shares(String name, Source other) {
            return data(name) == other.data(name);
        }

        /// What `all` has under `name`.
        ///
        /// @throws InputException when it has nothing
        static <T> T known(Map<String, T> all, String name) {
            T t = all.get(name);
            if (t == null)
                throw new InputException("the model has no tensor " + name);
            return t;
        }
    }

    private final Source source;
    private final @Nullable Buffers base;
    private final List<Tensor> tensors;
    private final Map<Tensor, Integer> offsets = new IdentityHashMap<>();
    private final Map<String, Tensor> byName = new LinkedHashMap<>();
    private final Map<String, Buf> frozen = new LinkedHashMap<>();
    private final Map<Buf, HostData> constants = new LinkedHashMap<>();
    private final Map<Buf, int[]> tables = new LinkedHashMap<>();
    private final Map<Tensor, BlockMask> masks = new LinkedHashMap<>();
    private boolean drops = true;
    private final Buf dropoutSeed = Buf.input("dropout seed", DType.I32, 1);
    private final int size;
    private final int decayed;
    private final @Nullable Buf params;
    private final @Nullable Buf grads;

    /// @param trainable tensors to train; a model weight among them (by name) is trained in place of the frozen one
    public Buffers(Source source, List<Tensor> trainable) {
        this(source, trainable, null);
    }

    /// @param base of another model in the same session, whose buffers are those of the weights that both share
    public Buffers(Source source, List<Tensor> trainable, @Nullable Buffers base) {
        this.source = source;
        this.base = base;
        List<Tensor> sorted = new ArrayList<>(trainable);
        sorted.sort(Comparator.comparing(t -> !t.decay()));
        this.tensors = Collections.unmodifiableList(sorted);
        long all = sorted.stream().mapToLong(Tensor::size).sum();
        if (all > Integer.MAX_VALUE)
            throw new InputException(
                    "it would train " + all + " parameters, which are one array, and an array has fewer"
                            + " than 2^31 elements; train an adapter instead, or a smaller model");
        int at = 0;
        int decay = 0;
        for (Tensor t : sorted) {
            byName.putIfAbsent(t.name(), t); // two adapters on one module name their tensors alike
            offsets.put(t, at);
            at += t.size();
            if (t.decay())
                decay = at;
        }
        this.size = at;
        this.decayed = decay;
        this.params = at == 0 ? null : Buf.param("params", at);
        this.grads = at == 0 ? null : Buf.grad("grads", at);
    }

    /// Trainable tensors in the order of the PARAM buffer.
    public List<Tensor> tensors() {
        return tensors;
    }

    /// Number of trainable parameters; weight decay applies to the first [#decayed] of them.
    public int size() {
        return size;
    }

    public int decayed() {
        return decayed;
    }

    public int offset(Tensor t) {
        Integer o = offsets.get(t);
        if (o == null)
            throw new InputException(t + " is not among the trainable tensors");
        return o;
    }

    /// All trainable parameters; only when there are any.
    public Buf params() {
        return present(params);
    }

    public Buf grads() {
        return present(grads);
    }

    private static Buf present(@Nullable Buf b) {
        if (b == null)
            throw new InputException(
                    "nothing is trainable here: the adapter has no parameters, as with orthogonal blocks of size 1; give"
                            + " another adapter or a larger block_size");
        return b;
    }

    public Buf param(Tensor t) {
        return params().view(t.name(), offset(t), t.dims());
    }

    public Buf grad(Tensor t) {
        return grads().view("d " + t.name(), offset(t), t.dims());
    }

    /// Buffer of the model weight `name`: its trainable twin where there is one.
    public Buf weight(String name) {
        Tensor t = byName.get(name);
        if (t != null)
            return param(t);
        if (base != null && !base.byName.containsKey(name) && source.shares(name, base.source))
            return base.weight(name);
        return frozen.computeIfAbsent(name, n -> Buf.weight(n, source.dtype(n), source.dims(n)));
    }

    /// Gradient of the model weight `name`, or null when it is frozen.
    public @Nullable Buf weightGrad(String name) {
        Tensor t = byName.get(name);
        return t == null ? null : grad(t);
    }

    /// A constant table (RoPE, permutations of an adapter, principal factors): a WEIGHT that no file names.
    public Buf constant(String name, HostData data, int... dims) {
        Buf b = Buf.weight(name, data.dtype(), dims);
        constants.put(b, data);
        return b;
    }

    /// An I32 input of flags that a session redraws for every micro-batch (multiplicative dropout of OFT and BOFT): one
    /// of the `groups` is drawn, and `floor(share * blocks)` of its flags are set, uniformly without replacement.
    ///
    /// @param of the tensor whose blocks they are
    public Buf blockMask(Tensor of, int groups, int blocks, float share) {
        return masks.computeIfAbsent(of,
                t -> new BlockMask(Buf.input(t.name() + " dropped", DType.I32, groups, blocks), share)).flags();
    }

    /// Flags and the share of them to set.
    public record BlockMask(Buf flags, float share) {
    }

    public List<BlockMask> blockMasks() {
        return List.copyOf(masks.values());
    }

    /// Has no program emitted from now on drop anything, though gradients are asked for.
    public void dropNothing() {
        drops = false;
    }

    boolean drops() {
        return drops;
    }

    /// An I32 input (1) that a session changes for every micro-batch: the seed of [dev.gyre.kernels.op.ElementOps.Dropout].
    public Buf dropoutSeed() {
        return dropoutSeed;
    }

    /// A constant I32 table.
    public Buf constant(String name, int[] values) {
        Buf b = Buf.input(name, DType.I32, values.length);
        tables.put(b, values);
        return b;
    }

    /// Values to bind to a WEIGHT buffer that was made here.
    public HostData data(Buf weight) {
        HostData c = constants.get(weight);
        return c != null ? c : source.data(weight.name());
    }

    /// Binds every frozen weight of these buffers that the planned programs read, and writes the trainable tensors' values.
    public void fill(Session session, MemoryPlan plan) {
        for (Buf b : plan.persistent())
            if (b.role() == Buf.Role.WEIGHT && (constants.containsKey(b) || b.equals(frozen.get(b.name()))))
                session.bind(b, data(b));
        tables.forEach((b, values) -> {
            if (plan.persistent().contains(b))
                session.write(b, values);
        });
        fillParams(session, plan);
    }

    /// Writes the trainable tensors' values; again after they changed.
    public void fillParams(Session session, MemoryPlan plan) {
        if (params != null && plan.persistent().contains(params)) {
            float[] all = new float[size];
            for (Tensor t : tensors)
                System.arraycopy(t.values(), 0, all, offset(t), t.size());
            session.write(params, all);
        }
    }
}
