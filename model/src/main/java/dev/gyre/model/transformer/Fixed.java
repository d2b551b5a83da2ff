package dev.gyre.model.transformer;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Op;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// What decoding programs of one model compute of weights and parameters alone (rotations of OFT, BOFT, PSOFT and GOFT, norms of
/// DoRA): the same for every token, so it is computed once, by a program of its own, and kept. All programs of the model
/// emit it in the same order, each for itself; the first of them keeps it for all.
final class Fixed {
    /// Kept if all of it has no more bytes than this part of the weights: a rotated copy of each weight (OFT v1) would be the
    /// model once more.
    private static final int PART = 4;

    private final Buffers store;
    private final List<Buf> kept = new ArrayList<>();
    private @Nullable Program program;

    Fixed(Buffers store) {
        this.store = store;
    }

    /// What has to run once before the others; null if there is nothing.
    @Nullable
    Program program() {
        return program;
    }

    /// A program without what is fixed in it.
    ///
    /// @param emission adds all operations to an emitter; called twice, it does the same
    Program without(String name, Function<Emitter, Program> emission) {
        Emitter e = new Emitter(name, store, false);
        Program whole = emission.apply(e);
        BitSet fixed = fixed(whole);
        Map<Integer, Buf> places = places(whole, fixed, e.acts());
        if (places.isEmpty())
            return whole;
        Program again = emission.apply(new Emitter(name, store, false, places));
        Program.Builder once = Program.builder("fixed");
        Program.Builder each = Program.builder(name);
        for (int i = 0; i < again.ops().size(); i++) {
            if (again.marks().contains(i)) {
                once.mark();
                each.mark();
            }
            (fixed.get(i) ? once : each).add(again.ops().get(i));
        }
        if (program == null)
            program = once.build();
        return each.build();
    }

    /// Operations that read and write nothing but weights, parameters, and what such operations write.
    private BitSet fixed(Program p) {
        List<Op> ops = p.ops();
        BitSet fixed = new BitSet();
        fixed.set(0, ops.size());
        Set<Buf> varies = Collections.newSetFromMap(new IdentityHashMap<>());
        for (boolean changed = true; changed;) {
            changed = false;
            for (int i = fixed.nextSetBit(0); i >= 0; i = fixed.nextSetBit(i + 1)) {
                boolean same = true;
                for (Access a : ops.get(i).accesses()) {
                    Buf root = a.buf().root();
                    boolean own = root.role() == Buf.Role.ACTIVATION;
                    same &= own ? !varies.contains(root) : !a.writes() && store.isFixed(root);
                }
                if (same)
                    continue;
                fixed.clear(i);
                changed = true;
                for (Access a : ops.get(i).accesses())
                    if (a.writes())
                        varies.add(a.buf().root());
            }
        }
        return fixed;
    }

    /// The activations that fixed operations leave to the others, by their number, and the buffers that keep them.
    private Map<Integer, Buf> places(Program p, BitSet fixed, List<Buf> acts) {
        Set<Buf> read = Collections.newSetFromMap(new IdentityHashMap<>());
        Set<Buf> written = Collections.newSetFromMap(new IdentityHashMap<>());
        long weights = 0;
        for (Buf b : p.roots())
            if (b.role() == Buf.Role.WEIGHT)
                weights += b.dtype().bytes(b.size());
        for (int i = 0; i < p.ops().size(); i++)
            for (Access a : p.ops().get(i).accesses())
                if (a.buf().root().role() == Buf.Role.ACTIVATION)
                    (fixed.get(i) ? written : read).add(a.buf().root());
        Map<Integer, Buf> out = new HashMap<>();
        List<Buf> found = new ArrayList<>();
        long bytes = 0;
        for (int i = 0; i < acts.size(); i++) {
            Buf b = acts.get(i);
            if (!written.contains(b) || !read.contains(b))
                continue;
            bytes += 4 * b.size();
            Buf keep = found.size() < kept.size() ? kept.get(found.size()) : Buf.state(b.name(), b.dims());
            if (!keep.name().equals(b.name()))
                throw new IllegalStateException("programs of one model keep " + keep + " and " + b);
            found.add(keep);
            out.put(i, keep);
        }
        // nothing is kept of the first program, or all that any of them has
        if (program == null && bytes * PART > weights || program != null && found.size() > kept.size())
            return Map.of();
        if (program == null)
            kept.addAll(found);
        return out;
    }
}
