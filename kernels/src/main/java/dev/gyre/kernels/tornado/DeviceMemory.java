package dev.gyre.kernels.tornado;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// The arrays of a session, few whatever the model, and where in them each buffer lies.
///
/// | array | holds | on the host |
/// |---|---|---|
/// | F32, in parts | activations, F32 weights, parameters, gradients, state, large inputs and outputs, workspaces | not touched |
/// | BF16, in parts | BF16 weights and workspaces | not touched |
/// | pairs of BF16 numbers, in parts | activations in BF16 ([PackedActivations]), and a workspace | not touched |
/// | bytes, in parts | codes of NF4 weights | not touched |
/// | `ints` | I32 inputs, constants | the inputs' values |
/// | `in` | small F32 inputs | their values |
/// | `out` | small outputs | their values once read |
/// | `powers`, `ticks` | a table, a counter | |
///
/// A part is as long as an index and the device allow, so a session has one of each kind unless it takes more than 8 GB.
/// A task must not name an array again after an argument that it writes: TornadoVM would wait for the task before it starts the
/// task, and never return. So kernels write their last arguments, and where they write several, these are in different
/// arrays: F32 and pairs have lanes, each with parts of its own ([Lanes]).
///
/// Activations lie where [MemoryPlan] puts them. One workspace for each type is shared by all operations, which run one after
/// another.
///
/// An object has no arrays ([#array] is a placeholder) until [#allocate], so that [#bytes] can be asked for a device that is
/// not there. [#measured] finds the workspaces and constants that the lowering asks for.
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

    /// How a weight in NF4 is stored.
    record Nf4Form(int block, int nested) {
        /// As Gyre quantises, with plain or quantised maxima.
        static Nf4Form of(boolean doubled) {
            return new Nf4Form(64, doubled ? 256 : 0);
        }

        static Nf4Form of(HostData.NF4 d) {
            return new Nf4Form(d.blockSize, d.absmaxCodes == null ? 0 : d.nestedBlockSize);
        }
    }

    /// Forms of the NF4 weights.
    interface Forms {
        Nf4Form of(Buf weight);
    }

    /// A place for a copy of `n` elements on the device.
    ///
    /// @param from fills a piece of the host's copy
    record Load(Pool<?> pool, Place place, long n, Source from) {
    }

    /// Values of a weight on the host.
    interface Source {
        /// Copies elements `from .. from + n - 1` to `to`, from element `at` on.
        void copy(long from, int n, TornadoNativeArray to, int at);
    }

    /// Elements from `at` on of part `part`.
    record Place(int part, int at) {
    }

    private record Nf4Places(Place codes, Place tables, Place maxima, Place maximaCodes, Nf4Form form) {
    }

    private record Located(Pool<?> pool, Place place) {
    }

    /// Most elements of a part: index arithmetic of a loop that steps by [ElementTransferKernels#ITEMS] stays below 2^31.
    static final int MAX_PART = Integer.MAX_VALUE - (1 << 21) + 1;
    /// F32 inputs of up to this many elements are copied to the device together whenever one was written. Larger ones (tables)
    /// are copied alone when they are written.
    static final int SMALL_INPUT = 1 << 14;
    /// Outputs of up to this many elements are copied to the host together when one is read.
    static final int SMALL_OUTPUT = 1 << 18;
    private static final int NF4_TABLES = 16 + 256 + 1;

    /// Storage for elements of one type, in as few arrays as possible.
    static final class Pool<A extends TornadoNativeArray> {
        private final String type;
        private final int width;
        private final LongFunction<A> make;
        private final long maxPart;
        private final List<Long> lengths = new ArrayList<>();
        /// The lane of each part.
        private final List<Integer> lanes = new ArrayList<>();
        private final List<A> arrays = new ArrayList<>();
        private @Nullable String tooLong;

        Pool(String type, int width, long maxBytes, LongFunction<A> make) {
            this.type = type;
            this.width = width;
            this.make = make;
            this.maxPart = Math.min(MAX_PART, maxBytes / width / MemoryPlan.ALIGN * MemoryPlan.ALIGN);
        }

        /// A place of its own for `n` elements.
        private Place place(Object what, long n) {
            return place(what, n, 0);
        }

        private Place place(Object what, long n, int lane) {
            long need = Math.ceilDiv(Math.max(1, n), MemoryPlan.ALIGN) * (long) MemoryPlan.ALIGN;
            if (need > maxPart && tooLong == null)
                tooLong = what + " has " + n + " elements of " + type + ", and an array on a device has " + maxPart
                        + " at most";
            int last = lanes.lastIndexOf(lane);
            if (last < 0 || lengths.get(last) + need > maxPart) {
                lengths.add(0L);
                lanes.add(lane);
                arrays.add(make.apply(1));
                last = lengths.size() - 1;
            }
            int at = (int) (long) lengths.get(last);
            lengths.set(last, at + need);
            return new Place(last, at);
        }

        private void allocate() {
            for (int i = 0; i < arrays.size(); i++)
                arrays.set(i, make.apply(lengths.get(i)));
        }

        A array(int part) {
            return arrays.get(part);
        }

        int width() {
            return width;
        }

        int parts() {
            return arrays.size();
        }

        int length(int part) {
            return (int) (long) lengths.get(part);
        }

        long bytes() {
            return lengths.stream().mapToLong(n -> n * width + TornadoNativeArray.ARRAY_HEADER).sum();
        }
    }

    final Pool<FloatArray> floats;
    final Pool<ShortArray> shorts;
    final Pool<IntArray> pairs;
    final Pool<ByteArray> bytes;
    private final Pool<IntArray> ints;
    private final Pool<FloatArray> in;
    private final Pool<FloatArray> out;
    private final MemoryPlan plan;
    private final Forms forms;
    private final Map<Buf, Located> places = new IdentityHashMap<>();
    private final Map<Buf, Nf4Places> nf4 = new IdentityHashMap<>();
    private final Map<List<Integer>, Place> constants = new HashMap<>();
    /// First and last element, exclusive, of what is zero at first, for each part of [#floats].
    private final List<int[]> zeros = new ArrayList<>();
    private final Lanes lanes;
    /// Of each F32 lane, then of BF16: how much the current operation has, and the most that any has.
    private final int[] scratchTop = new int[Lanes.COUNT + 1];
    private final long[] scratchNeed = new long[Lanes.COUNT + 1];
    /// Where the workspaces begin; found by [#measured].
    private final Place[] scratch = new Place[Lanes.COUNT + 1];
    /// The same for the workspace in [#pairs].
    private int pairTop;
    private Place pairScratch = new Place(0, 0);
    /// Activations in BF16.
    private final Set<Buf> packed;
    private long pairNeed;
    private boolean usesPowers;
    private FloatArray powers = new FloatArray(1);
    private IntArray ticks = new IntArray(1);

    /// @param maxBytes most bytes of an array that the device allows
    DeviceMemory(List<Program> programs, Lowering.Choice choice, Forms forms, long maxBytes) {
        this.forms = forms;
        floats = new Pool<>("F32", Float.BYTES, maxBytes, Untouched::floats);
        shorts = new Pool<>("BF16", Short.BYTES, maxBytes, Untouched::shorts);
        pairs = new Pool<>("pairs of BF16", Integer.BYTES, maxBytes, Untouched::ints);
        bytes = new Pool<>("NF4", Byte.BYTES, maxBytes, Untouched::bytes);
        ints = new Pool<>("I32", Integer.BYTES, maxBytes, n -> new IntArray(Math.toIntExact(n)));
        in = new Pool<>("F32", Float.BYTES, maxBytes, n -> new FloatArray(Math.toIntExact(n)));
        out = new Pool<>("F32", Float.BYTES, maxBytes, n -> new FloatArray(Math.toIntExact(n)));
        lanes = Lanes.of(programs);
        scratch[Lanes.COUNT] = new Place(0, 0);
        packed = PackedActivations.of(programs, choice);
        // an int has two numbers in BF16
        plan = MemoryPlan.of(programs, floats.maxPart,
                b -> packed.contains(b) ? Lanes.COUNT + lanes.of(b) : lanes.of(b),
                b -> packed.contains(b) ? b.size() / 2 : b.size());
        placeAll();
    }

    private void placeAll() {
        for (int lane = 0; lane < Lanes.COUNT; lane++)
            scratch[lane] = floats.place("", 1, lane);
        in.place("NaN", 1);
        out.place("", 1);
        ints.place("", 1);
        List<Place> arenas = new ArrayList<>();
        long[] slabs = plan.slabs();
        for (int i = 0; i < slabs.length; i++)
            arenas.add(plan.lane(i) < Lanes.COUNT ? floats.place("arena " + i, slabs[i], plan.lane(i))
                    : pairs.place("arena " + i, slabs[i], plan.lane(i) - Lanes.COUNT));
        for (Buf b : plan.activations()) {
            MemoryPlan.Place p = plan.place(b);
            Place arena = arenas.get(p.slab());
            places.put(b,
                    new Located(packed.contains(b) ? pairs : floats, new Place(arena.part, arena.at + p.offset())));
        }
        List<Buf> zero = new ArrayList<>();
        for (Buf b : plan.persistent())
            if (b.role() == Buf.Role.WEIGHT)
                placeWeight(b);
            else
                if (b.dtype() == DType.I32)
                    places.put(b, new Located(ints, ints.place(b, b.size())));
                else
                    if (b.role() == Buf.Role.INPUT && b.size() <= SMALL_INPUT)
                        places.put(b, new Located(in, in.place(b, b.size())));
                    else
                        if (b.role() == Buf.Role.OUTPUT && b.size() <= SMALL_OUTPUT)
                            places.put(b, new Located(out, out.place(b, b.size())));
                        else
                            zero.add(b);
        for (Buf b : zero) {
            Place p = floats.place(b, b.size(), lanes.of(b));
            places.put(b, new Located(floats, p));
            while (zeros.size() <= p.part)
                zeros.add(new int[] {floats.length(p.part), 0});
            int[] range = zeros.get(p.part);
            range[0] = Math.min(range[0], p.at);
            range[1] = floats.length(p.part);
        }
    }

    private void placeWeight(Buf weight) {
        long n = weight.size();
        switch (weight.dtype()) {
            case F32 -> places.put(weight, new Located(floats, floats.place(weight, n)));
            case BF16 -> places.put(weight, new Located(shorts, shorts.place(weight, n)));
            case NF4 -> {
                Nf4Form f = forms.of(weight);
                long blocks = Math.ceilDiv(n, f.block);
                boolean doubled = f.nested > 0;
                Place codes = bytes.place(weight, Math.ceilDiv(n, 2));
                Place tables = floats.place(weight, doubled ? NF4_TABLES : 16);
                Place maxima = floats.place(weight, doubled ? Math.ceilDiv(blocks, f.nested) : blocks);
                nf4.put(weight, new Nf4Places(codes, tables, maxima,
                        doubled ? bytes.place(weight, blocks) : codes, f));
            }
            case I32 -> throw new IllegalArgumentException(weight + " cannot be a weight");
        }
    }

    /// Why there is no such memory on any device: a buffer is longer than an array; null if none is.
    @Nullable
    String tooLong() {
        for (Pool<?> p : pools())
            if (p.tooLong != null)
                return p.tooLong;
        return null;
    }

    private List<Pool<?>> pools() {
        return List.of(floats, shorts, pairs, bytes, ints, in, out);
    }

    /// Finds the workspaces and constants of these programs.
    ///
    /// @throws DeviceException if a buffer is longer than an array
    DeviceMemory measured(List<Program> programs, Lowering.Choice choice) {
        String tooLong = tooLong();
        if (tooLong != null)
            throw new DeviceException(tooLong);
        TaskGraphs none = new TaskGraphs(false, false);
        for (Program p : programs)
            Lowering.lower(p, none, this, choice);
        for (int lane = 0; lane < Lanes.COUNT; lane++)
            if (scratchNeed[lane] > 0)
                scratch[lane] = floats.place("the workspace", scratchNeed[lane], lane);
        if (scratchNeed[Lanes.COUNT] > 0)
            scratch[Lanes.COUNT] = shorts.place("the workspace", scratchNeed[Lanes.COUNT]);
        if (pairNeed > 0)
            pairScratch = pairs.place("the workspace", pairNeed);
        tooLong = tooLong();
        if (tooLong != null)
            throw new DeviceException(tooLong);
        while (zeros.size() < floats.parts())
            zeros.add(new int[2]);
        return this;
    }

    /// Makes the arrays; those that the host does not touch take no memory there.
    void allocate() {
        for (Pool<?> p : pools())
            p.allocate();
        in.array(0).set(0, Float.NaN);
        constants.forEach((values, place) -> {
            for (int i = 0; i < values.size(); i++)
                ints.array(0).set(place.at + i, values.get(i));
        });
        if (usesPowers)
            powers = powersOfTwo();
    }

    /// 2^(e-127) for e from 0 to 254 (2^-126 for 0), and infinity.
    static FloatArray powersOfTwo() {
        FloatArray p = new FloatArray(256);
        for (int e = 0; e < 256; e++)
            p.set(e, e == 255 ? Float.POSITIVE_INFINITY : Math.scalb(1f, Math.max(e, 1) - 127));
        return p;
    }

    /// What has to be copied to the device for a weight.
    void load(Buf weight, HostData data, List<Load> to) {
        Located where = places.get(weight);
        switch (data) {
            case HostData.Stored d -> to.add(new Load(d.dtype() == DType.F32 ? floats : shorts, located(weight).place,
                    d.size(), (from, n, a, at) -> d.read(from, n,
                            a.getSegment().asSlice((long) at * a.getElementSize(), (long) n * a.getElementSize()))));
            case HostData.F32 d -> to.add(floats(where, weight, d.values));
            case HostData.BF16 d -> to.add(new Load(shorts, located(weight).place, d.size(),
                    (from, n, a, at) -> copy(d.bits, from, n, a, at)));
            case HostData.NF4 d -> {
                Nf4Places p = located4(weight);
                to.add(new Load(bytes, p.codes, d.codes.length, (from, n, a, at) -> copy(d.codes, from, n, a, at)));
                byte[] codes = d.absmaxCodes;
                float[] maxima = d.absmax;
                float[] map = d.nestedMap;
                if (codes == null || map == null)
                    to.add(floats(new Located(floats, p.tables), weight, d.codeBook));
                else {
                    float[] tables = Arrays.copyOf(d.codeBook, NF4_TABLES);
                    System.arraycopy(map, 0, tables, 16, 256);
                    tables[NF4_TABLES - 1] = d.nestedOffset;
                    to.add(floats(new Located(floats, p.tables), weight, tables));
                    to.add(new Load(bytes, p.maximaCodes, codes.length,
                            (from, n, a, at) -> copy(codes, from, n, a, at)));
                    maxima = d.nestedAbsmax;
                }
                to.add(floats(new Located(floats, p.maxima), weight, maxima));
            }
        }
    }

    private static Load floats(@Nullable Located where, Buf weight, float @Nullable [] values) {
        if (where == null || values == null)
            throw new IllegalStateException(weight + " has no place, or no values");
        return new Load(where.pool, where.place, values.length, (from, n, a, at) -> copy(values, from, n, a, at));
    }

    /// Copies a piece of a Java array of the element type.
    static void copy(Object values, long from, int n, TornadoNativeArray to, int at) {
        MemorySegment source = switch (values) {
            case float[] f -> MemorySegment.ofArray(f);
            case short[] s -> MemorySegment.ofArray(s);
            case byte[] b -> MemorySegment.ofArray(b);
            default -> throw new IllegalArgumentException(values.getClass().getName());
        };
        long w = to.getElementSize();
        MemorySegment.copy(source, from * w, to.getSegment(), at * w, n * w);
    }

    boolean holds(Buf root) {
        return places.containsKey(root) || nf4.containsKey(root);
    }

    private Located located(Buf root) {
        Located l = places.get(root);
        if (l == null)
            throw new IllegalStateException(root + " has no place in this session");
        return l;
    }

    private Nf4Places located4(Buf root) {
        Nf4Places l = nf4.get(root);
        if (l == null)
            throw new IllegalStateException(root + " has no place in this session");
        return l;
    }

    /// True if the host has the values of this root too: they are copied to the device when they were written.
    boolean mirrored(Buf root) {
        Pool<?> p = located(root).pool;
        return p == ints || p == in;
    }

    /// True if this root is copied to the host with all small outputs.
    boolean fetched(Buf root) {
        return located(root).pool == out;
    }

    /// The array of a root, with the root's first element.
    int at(Buf root) {
        return located(root).place.at;
    }

    int part(Buf root) {
        return located(root).place.part;
    }

    TornadoNativeArray array(Buf root) {
        Located l = located(root);
        return l.pool.array(l.place.part);
    }

    Floats floats(Buf b) {
        return new Floats((FloatArray) array(b.root()), at(b.root()) + (int) b.offset());
    }

    /// Whether an activation is in BF16.
    boolean packed(Buf b) {
        return packed.contains(b.root());
    }

    /// A part of an activation in BF16, from its first pair on.
    Ints pairs(Buf b) {
        return new Ints((IntArray) array(b.root()), at(b.root()) + (int) (b.offset() / 2));
    }

    /// An operand that a task does not have.
    Floats nothing() {
        return new Floats(in.array(0), 0);
    }

    Ints ints(Buf b) {
        return new Ints((IntArray) array(b.root()), at(b.root()) + (int) b.offset());
    }

    Shorts shorts(Buf b) {
        return new Shorts((ShortArray) array(b.root()), at(b.root()) + (int) b.offset());
    }

    Nf4 nf4(Buf b) {
        Nf4Places p = located4(b);
        return new Nf4(bytes(p.codes), floats(p.tables), floats(p.maxima), bytes(p.maximaCodes), p.form.block,
                p.form.nested);
    }

    private Floats floats(Place p) {
        return new Floats(floats.array(p.part), p.at);
    }

    private Bytes bytes(Place p) {
        return new Bytes(bytes.array(p.part), p.at);
    }

    /// A workspace of `n` floats until [#freeScratch].
    Floats scratch(long n) {
        return scratch(n, 0);
    }

    /// A workspace for a task that writes several arrays, which have to be in different lanes.
    Floats scratch(long n, int lane) {
        int at = scratch[lane].at + grow(lane, n);
        return new Floats(floats.array(scratch[lane].part), at);
    }

    /// A workspace of `n` shorts until [#freeScratch].
    Shorts shortScratch(long n) {
        Place p = scratch[Lanes.COUNT];
        int at = p.at + grow(Lanes.COUNT, n);
        return new Shorts(shorts.parts() == 0 ? new ShortArray(1) : shorts.array(p.part), at);
    }

    /// The lane of an array; -1 if it is none of the large F32 ones.
    @SuppressWarnings("ReferenceEquality") // identity, not contents
    int lane(FloatArray a) {
        for (int i = 0; i < floats.arrays.size(); i++)
            if (floats.arrays.get(i) == a)
                return floats.lanes.get(i);
        return -1;
    }

    /// A workspace of `n` pairs of BF16 numbers until [#freeScratch].
    Ints pairScratch(long n) {
        int at = pairTop;
        long top = at + Math.ceilDiv(n, MemoryPlan.ALIGN) * (long) MemoryPlan.ALIGN;
        pairTop = within(top);
        pairNeed = Math.max(pairNeed, top);
        return new Ints(pairs.parts() == 0 ? new IntArray(1) : pairs.array(pairScratch.part), pairScratch.at + at);
    }

    private int grow(int type, long n) {
        int at = scratchTop[type];
        long top = at + Math.ceilDiv(n, MemoryPlan.ALIGN) * (long) MemoryPlan.ALIGN;
        scratchTop[type] = within(top);
        scratchNeed[type] = Math.max(scratchNeed[type], top);
        return at;
    }

    private static int within(long length) {
        if (length > MAX_PART)
            throw new DeviceException(
                    "a workspace of " + length + " elements is longer than an array on a device; take a"
                            + " smaller micro-batch or sequence");
        return (int) length;
    }

    void freeScratch() {
        Arrays.fill(scratchTop, 0);
        pairTop = 0;
    }

    /// A part of `ints` with these values; equal contents share one.
    Ints constants(int... values) {
        Place p = constants.computeIfAbsent(Arrays.stream(values).boxed().toList(),
                _ -> ints.place("constants", values.length));
        return new Ints(ints.array(p.part), p.at);
    }

    /// Powers of two by biased exponent; see [ProductKernels#bf16].
    FloatArray powers() {
        usesPowers = true;
        return powers;
    }

    /// The counter that the last task of each graph increments.
    IntArray ticks() {
        return ticks;
    }

    IntArray intInputs() {
        return ints.array(0);
    }

    FloatArray inputs() {
        return in.array(0);
    }

    FloatArray outputs() {
        return out.array(0);
    }

    int outputsLength() {
        return out.length(0);
    }

    long inputBytes() {
        return in.bytes();
    }

    /// The elements of a part of [#floats] that are zero at first: the first one and the one after the last.
    int[] zeros(int part) {
        return zeros.get(part);
    }

    /// The arrays that every graph passes on.
    Object[] resident() {
        List<Object> all = new ArrayList<>(floats.arrays);
        all.addAll(shorts.arrays);
        all.addAll(pairs.arrays);
        all.addAll(bytes.arrays);
        all.add(ints.array(0));
        all.add(in.array(0));
        all.add(out.array(0));
        all.add(ticks);
        if (usesPowers)
            all.add(powers);
        return all.toArray();
    }

    /// Arrays that get their first values from the host.
    Object[] first() {
        return usesPowers ? new Object[] {in.array(0), ticks, powers} : new Object[] {in.array(0), ticks};
    }

    /// Arrays that get their first values on the device.
    Object[] large() {
        List<Object> all = new ArrayList<>(floats.arrays);
        all.addAll(shorts.arrays);
        all.addAll(pairs.arrays);
        all.addAll(bytes.arrays);
        all.add(out.array(0));
        return all.toArray();
    }

    /// Bytes of the arrays that every graph passes on.
    long residentBytes() {
        return pools().stream().mapToLong(Pool::bytes).sum() + Integer.BYTES + TornadoNativeArray.ARRAY_HEADER
                + (usesPowers ? 256 * Float.BYTES + TornadoNativeArray.ARRAY_HEADER : 0);
    }

    /// Bytes of them that the host has as well.
    long mirroredBytes() {
        return ints.bytes() + in.bytes() + out.bytes();
    }
}
