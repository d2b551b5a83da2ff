package dev.gyre.kernels;

import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.Op;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;

/// Where every buffer of some programs lives. Activations of one program share an arena: two of them may overlap when
/// their lifetimes (first write to last read) do not. The programs run one after another, so they share the arena as
/// well. Every other buffer has memory of its own for as long as the session is open. Nothing is allocated while a
/// program runs, so [#bytes] is the peak, known before the run.
///
/// Placement is greedy by size: the largest buffer first, each at the lowest offset that is free over its lifetime.
public final class MemoryPlan {
    /// Elements to which every offset is rounded up: 64 bytes, a cache line and an AVX-512 vector.
    public static final int ALIGN = 16;
    /// An arena part holds at most this many elements, so that offsets and lengths fit an array index.
    static final long MAX_SLAB = 1L << 30;

    /// Place of an activation: part `slab` of the arena, `offset` elements into it.
    public record Place(int slab, int offset) {
    }

    /// First and last operation that touches a buffer, both inclusive.
    public record Lifetime(int first, int last) {
        boolean meets(Lifetime o) {
            return first <= o.last && o.first <= last;
        }
    }

    private final Map<Buf, Place> places = new IdentityHashMap<>();
    private final Map<Buf, Lifetime> lifetimes = new IdentityHashMap<>();
    private final Set<Buf> persistent = new LinkedHashSet<>();
    private final List<Long> slabs = new ArrayList<>();

    private final List<Integer> lanes = new ArrayList<>();
    private final long maxSlab;
    private final ToIntFunction<Buf> lane;
    private final ToLongFunction<Buf> elements;

    private MemoryPlan(long maxSlab, ToIntFunction<Buf> lane, ToLongFunction<Buf> elements) {
        this.maxSlab = maxSlab;
        this.lane = lane;
        this.elements = elements;
    }

    public static MemoryPlan of(List<Program> programs) {
        return of(programs, MAX_SLAB, _ -> 0, Buf::size);
    }

    /// @param maxSlab most elements of an arena part, below 2^31
    /// @param lane activations of different lanes share no part
    /// @param elements of an arena part that an activation takes, four bytes each
    public static MemoryPlan of(List<Program> programs, long maxSlab, ToIntFunction<Buf> lane,
            ToLongFunction<Buf> elements) {
        MemoryPlan plan = new MemoryPlan(maxSlab, lane, elements);
        for (Program p : programs)
            plan.place(p);
        return plan;
    }

    private void place(Program program) {
        Map<Buf, int[]> life = new LinkedHashMap<>();
        int i = 0;
        for (Op op : program.ops()) {
            for (Access a : op.accesses()) {
                Buf root = a.buf().root();
                if (root.role() != Buf.Role.ACTIVATION) {
                    persistent.add(root);
                    continue;
                }
                int[] l = life.get(root);
                if (l == null)
                    life.put(root, new int[] {i, i});
                else
                    l[1] = i;
            }
            i++;
        }
        List<Buf> order = new ArrayList<>(life.keySet());
        order.sort(Comparator.comparingLong(elements).reversed());
        List<Buf> placed = new ArrayList<>();
        for (Buf b : order) {
            if (lifetimes.containsKey(b))
                throw new IllegalArgumentException(b + " is an activation of two programs");
            int[] l = Objects.requireNonNull(life.get(b));
            lifetimes.put(b, new Lifetime(l[0], l[1]));
            Place where = lowestFree(b, placed);
            places.put(b, where);
            placed.add(b);
            while (slabs.size() <= where.slab()) {
                slabs.add(0L);
                lanes.add(lane.applyAsInt(b));
            }
            slabs.set(where.slab(),
                    Math.max(slabs.get(where.slab()), where.offset() + aligned(elements.applyAsLong(b))));
        }
    }

    private Place lowestFree(Buf b, List<Buf> placed) {
        long need = aligned(elements.applyAsLong(b));
        long most = Math.min(MAX_SLAB, maxSlab);
        if (need > most)
            throw new InputException(b + " exceeds " + most
                    + " elements, the largest single activation; use a smaller micro-batch or sequence");
        Lifetime mine = Objects.requireNonNull(lifetimes.get(b));
        for (int slab = 0;; slab++) {
            if (slab < slabs.size() && lanes.get(slab) != lane.applyAsInt(b))
                continue;
            List<long[]> taken = new ArrayList<>();
            for (Buf o : placed) {
                Place p = places.get(o);
                if (p != null && p.slab() == slab && mine.meets(Objects.requireNonNull(lifetimes.get(o))))
                    taken.add(new long[] {p.offset(), p.offset() + aligned(elements.applyAsLong(o))});
            }
            taken.sort(Comparator.comparingLong(t -> t[0]));
            long at = 0;
            for (long[] t : taken) {
                if (t[0] - at >= need)
                    break;
                at = Math.max(at, t[1]);
            }
            if (at + need <= maxSlab)
                return new Place(slab, (int) at);
        }
    }

    private static long aligned(long n) {
        return (n + ALIGN - 1) / ALIGN * ALIGN;
    }

    /// Place of an activation (not of a view: ask for its root).
    public Place place(Buf activation) {
        Place p = places.get(activation);
        if (p == null)
            throw new IllegalArgumentException(activation + " is not an activation of the planned programs");
        return p;
    }

    public Lifetime lifetime(Buf activation) {
        Lifetime l = lifetimes.get(activation);
        if (l == null)
            throw new IllegalArgumentException(activation + " is not an activation of the planned programs");
        return l;
    }

    /// Buffers with storage of their own: every role but ACTIVATION, roots only, in order of first use.
    public Set<Buf> persistent() {
        return persistent;
    }

    /// All buffers that [#place] knows.
    public Set<Buf> activations() {
        return Collections.unmodifiableSet(places.keySet());
    }

    /// Elements of each part of the activation arena.
    public long[] slabs() {
        return slabs.stream().mapToLong(Long::longValue).toArray();
    }

    /// The lane of a part of the arena.
    public int lane(int slab) {
        return lanes.get(slab);
    }

    /// Bytes of the activation arena.
    public long arenaBytes() {
        return 4 * Arrays.stream(slabs()).sum();
    }

    /// Bytes by role, ACTIVATION being the arena; NF4 counts codes and plain F32 block maxima of 64.
    public Map<Buf.Role, Long> bytesByRole() {
        Map<Buf.Role, Long> out = new EnumMap<>(Buf.Role.class);
        for (Buf b : persistent) {
            long bytes = b.dtype().bytes(b.size()) + (b.dtype() == DType.NF4 ? b.size() / 16 : 0);
            out.merge(b.role(), bytes, Long::sum);
        }
        out.put(Buf.Role.ACTIVATION, arenaBytes());
        return out;
    }

    /// Bytes a session allocates, without the workspace of single kernels.
    public long bytes() {
        return bytesByRole().values().stream().mapToLong(Long::longValue).sum();
    }

    /// Formatted for messages, rounded up: `42 MiB`.
    public static String mib(long bytes) {
        return Math.ceilDiv(bytes, 1 << 20) + " MiB";
    }
}
