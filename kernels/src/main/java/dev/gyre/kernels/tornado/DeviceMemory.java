package dev.gyre.kernels.tornado;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.MemoryPlan.Lifetime;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// The arrays that hold the buffers of a session. Every root buffer that lives between runs has an array of its own.
/// Activations whose lifetimes do not overlap share arrays. There is no single arena with offsets, because most kernels
/// would then get the same array as input and as output.
final class DeviceMemory {
    /// Part of an array that begins at element `at`.
    record Floats(FloatArray array, int at) {
    }

    record Ints(IntArray array, int at) {
    }

    record Shorts(ShortArray array, int at) {
    }

    record Bytes(ByteArray array, int at) {
    }

    /// An NF4 weight. `nested` is the block size of double quantisation, 0 without it. `tables` has the 16 values of the code
    /// book, then, with double quantisation, the 256 values of the maxima's codes and the number added to each.
    record Nf4(Bytes codes, Floats tables, Floats maxima, Bytes maximaCodes, int block, int nested) {
    }

    /// Inputs of up to this many elements are copied to the device on every run, larger ones (position tables) only after
    /// they were written.
    private static final int SMALL = 1 << 14;
    /// Elements per block of an NF4 weight, and blocks whose maxima are quantised together.
    private static final int NF4_BLOCK = 64;
    private static final int NF4_NESTED = 256;
    private static final int NF4_TABLES = 16 + 256 + 1;

    private final Map<Buf, TornadoNativeArray> arrays = new LinkedHashMap<>();
    private final Map<Buf, Nf4> nf4 = new IdentityHashMap<>();
    private final List<FloatArray> pool = new ArrayList<>();
    private final List<FloatArray> scratch = new ArrayList<>();
    private final List<ShortArray> shortScratch = new ArrayList<>();
    private final List<TornadoNativeArray> inUse = new ArrayList<>();
    private final Map<List<Integer>, IntArray> constants = new HashMap<>();
    private final IntArray ticks = new IntArray(1);
    /// The planned length of each array if only sizes are computed ([#sizes]); null if arrays are allocated.
    private final @Nullable Map<TornadoNativeArray, Long> lengths;
    private @Nullable FloatArray powers;

    DeviceMemory(List<Program> programs, MemoryPlan plan) {
        this(programs, plan, null);
    }

    private DeviceMemory(List<Program> programs, MemoryPlan plan,
            @Nullable Map<TornadoNativeArray, Long> lengths) {
        this.lengths = lengths;
        for (Buf b : plan.persistent())
            if (b.role() != Buf.Role.WEIGHT)
                arrays.put(b, b.dtype() == DType.I32 ? made(b.size(), IntArray::new) : made(b.size(), FloatArray::new));
        for (Program p : programs)
            placeActivations(p, plan);
        for (FloatArray a : pool)
            a.init(Float.NaN);
    }

    /// The memory that programs will need, without allocating it: each array has one element and a planned length.
    ///
    /// @param doubled whether NF4 weights are double-quantised; weights have the layout in which Gyre stores them
    static DeviceMemory sizes(List<Program> programs, MemoryPlan plan, boolean doubled) {
        DeviceMemory m = new DeviceMemory(programs, plan, new IdentityHashMap<>());
        for (Buf b : plan.persistent())
            if (b.role() == Buf.Role.WEIGHT)
                m.outline(b, doubled);
        return m;
    }

    private void outline(Buf weight, boolean doubled) {
        long n = weight.size();
        switch (weight.dtype()) {
            case F32 -> arrays.put(weight, made(n, FloatArray::new));
            case BF16 -> arrays.put(weight, made(n, ShortArray::new));
            case NF4 -> {
                long blocks = Math.ceilDiv(n, NF4_BLOCK);
                ByteArray codes = made(Math.ceilDiv(n, 2), ByteArray::new);
                arrays.put(weight, codes);
                nf4.put(weight, new Nf4(new Bytes(codes, 0), whole(made(doubled ? NF4_TABLES : 16, FloatArray::new)),
                        whole(made(doubled ? Math.ceilDiv(blocks, NF4_NESTED) : blocks, FloatArray::new)),
                        new Bytes(made(doubled ? blocks : 1, ByteArray::new), 0), NF4_BLOCK,
                        doubled ? NF4_NESTED : 0));
            }
            case I32 -> throw new IllegalArgumentException(weight + " cannot be a weight");
        }
    }

    /// An array of `n` elements, or of one element with `n` as its planned length.
    private <A extends TornadoNativeArray> A made(long n, IntFunction<A> make) {
        long length = Math.max(1, n);
        if (lengths == null)
            return make.apply(Math.toIntExact(length));
        A a = make.apply(1);
        lengths.put(a, length);
        return a;
    }

    private long length(TornadoNativeArray a) {
        return lengths == null ? a.getSize() : lengths.getOrDefault(a, (long) a.getSize());
    }

    /// Largest first, each into the smallest array that is free over its lifetime and at most twice as long.
    private void placeActivations(Program program, MemoryPlan plan) {
        List<Buf> order = new ArrayList<>(program.roots());
        order.removeIf(b -> b.role() != Buf.Role.ACTIVATION);
        order.sort(Comparator.comparingLong(Buf::size).reversed());
        Map<FloatArray, List<Lifetime>> taken = new IdentityHashMap<>();
        for (Buf b : order) {
            Lifetime mine = plan.lifetime(b);
            FloatArray best = null;
            for (FloatArray a : pool)
                if (length(a) >= b.size() && length(a) <= Math.max(1024, 2 * b.size())
                        && taken.getOrDefault(a, List.of()).stream().noneMatch(l -> meet(l, mine))
                        && (best == null || length(a) < length(best)))
                    best = a;
            if (best == null) {
                best = made(b.size(), FloatArray::new);
                pool.add(best);
            }
            taken.computeIfAbsent(best, _ -> new ArrayList<>()).add(mine);
            arrays.put(b, best);
        }
    }

    private static boolean meet(Lifetime a, Lifetime b) {
        return a.first() <= b.last() && b.first() <= a.last();
    }

    /// Copies a weight's values into arrays of the device's layout.
    void bind(Buf weight, HostData data) {
        switch (data) {
            case HostData.F32 d -> arrays.put(weight, FloatArray.fromArray(d.values));
            case HostData.BF16 d -> arrays.put(weight, ShortArray.fromArray(d.bits));
            case HostData.NF4 d -> {
                ByteArray codes = ByteArray.fromArray(d.codes);
                arrays.put(weight, codes);
                byte[] maximaCodes = d.absmaxCodes;
                if (maximaCodes == null)
                    nf4.put(weight, new Nf4(new Bytes(codes, 0), whole(FloatArray.fromArray(d.codeBook)),
                            whole(FloatArray.fromArray(Objects.requireNonNull(d.absmax))),
                            new Bytes(new ByteArray(1), 0), d.blockSize, 0));
                else {
                    float[] tables = Arrays.copyOf(d.codeBook, NF4_TABLES);
                    System.arraycopy(Objects.requireNonNull(d.nestedMap), 0, tables, 16, 256);
                    tables[NF4_TABLES - 1] = d.nestedOffset;
                    nf4.put(weight, new Nf4(new Bytes(codes, 0), whole(FloatArray.fromArray(tables)),
                            whole(FloatArray.fromArray(Objects.requireNonNull(d.nestedAbsmax))),
                            new Bytes(ByteArray.fromArray(maximaCodes), 0), d.blockSize, d.nestedBlockSize));
                }
            }
        }
    }

    boolean holds(Buf root) {
        return arrays.containsKey(root);
    }

    TornadoNativeArray array(Buf root) {
        TornadoNativeArray a = arrays.get(root);
        if (a == null)
            throw new IllegalStateException(root + " has no array; bind it before the first run");
        return a;
    }

    Floats floats(Buf b) {
        return new Floats((FloatArray) array(b.root()), Math.toIntExact(b.offset()));
    }

    Ints ints(Buf b) {
        return new Ints((IntArray) array(b.root()), Math.toIntExact(b.offset()));
    }

    Shorts shorts(Buf b) {
        return new Shorts((ShortArray) array(b.root()), Math.toIntExact(b.offset()));
    }

    Nf4 nf4(Buf b) {
        return Objects.requireNonNull(nf4.get(b), () -> b + " is not bound");
    }

    /// A workspace of at least `n` floats until [#freeScratch].
    Floats scratch(long n) {
        return whole(scratch(scratch, n, FloatArray::new, a -> a.init(Float.NaN)));
    }

    private static Floats whole(FloatArray a) {
        return new Floats(a, 0);
    }

    /// A workspace of at least `n` shorts until [#freeScratch].
    Shorts shortScratch(long n) {
        return new Shorts(scratch(shortScratch, n, ShortArray::new, _ -> {
        }), 0);
    }

    private <A extends TornadoNativeArray> A scratch(List<A> made, long n, IntFunction<A> make, Consumer<A> fill) {
        A best = null;
        for (A a : made)
            if (length(a) >= n && length(a) <= Math.max(4096, 4 * n) && !inUse.contains(a)
                    && (best == null || length(a) < length(best)))
                best = a;
        if (best == null) {
            best = made(n, make);
            fill.accept(best);
            made.add(best);
        }
        inUse.add(best);
        return best;
    }

    void freeScratch() {
        inUse.clear();
    }

    /// The counter that the last task of each graph increments.
    IntArray ticks() {
        return ticks;
    }

    /// An array of constants; equal contents share one array.
    Ints constants(int... values) {
        return new Ints(constants.computeIfAbsent(Arrays.stream(values).boxed().toList(),
                _ -> IntArray.fromArray(values)), 0);
    }

    /// Powers of two by biased exponent; see [ProductKernels#bf16].
    FloatArray powers() {
        FloatArray p = powers;
        if (p == null) {
            p = new FloatArray(256);
            for (int e = 0; e < 256; e++)
                p.set(e, e == 255 ? Float.POSITIVE_INFINITY : Math.scalb(1f, Math.max(e, 1) - 127));
            powers = p;
        }
        return p;
    }

    /// Arrays that are copied to the device once: weights, constants, and the storage of activations and workspaces.
    Object[] fixed() {
        List<Object> all = new ArrayList<>(pool);
        all.addAll(scratch);
        all.addAll(shortScratch);
        all.addAll(constants.values());
        all.add(ticks);
        if (powers != null)
            all.add(powers);
        arrays.forEach((b, a) -> {
            if (b.role() == Buf.Role.WEIGHT)
                all.add(a);
        });
        for (Nf4 w : nf4.values())
            all.addAll(List.of(w.tables().array(), w.maxima().array(), w.maximaCodes().array()));
        return all.toArray();
    }

    /// The small inputs among these arrays, which are copied on every run.
    Object[] smallInputs(Set<TornadoNativeArray> used) {
        return Arrays.stream(select(arrays.keySet(), DeviceMemory::copiedAlways)).filter(used::contains).toArray();
    }

    static boolean copiedAlways(Buf b) {
        return b.role() == Buf.Role.INPUT && b.size() <= SMALL;
    }

    /// Everything else that lives between runs: parameters, gradients, state, results, large inputs.
    Object[] state() {
        return select(arrays.keySet(), DeviceMemory::isState);
    }

    static boolean isState(Buf b) {
        return b.role() != Buf.Role.WEIGHT && b.role() != Buf.Role.ACTIVATION && !copiedAlways(b);
    }

    private Object[] select(Collection<Buf> roots, Predicate<Buf> which) {
        return roots.stream().filter(which).map(this::array).toArray();
    }

    /// Bytes of all arrays, allocated or planned.
    long bytes() {
        Map<Object, Boolean> seen = new IdentityHashMap<>();
        long sum = 0;
        List<Object> all = new ArrayList<>(List.of(fixed()));
        all.addAll(arrays.values());
        for (Object a : all)
            if (seen.put(a, true) == null)
                sum += bytes((TornadoNativeArray) a);
        return sum;
    }

    private long bytes(TornadoNativeArray a) {
        return a.getNumBytesOfSegmentWithHeader() + (length(a) - a.getSize()) * a.getElementSize();
    }
}
