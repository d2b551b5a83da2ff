package dev.gyre.kernels;

import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Op;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// A fixed sequence of operations over buffers of fixed shape: a micro-batch (forward, loss, backward), an update, an
/// evaluation. Built once per shape, run for every batch.
public final class Program {
    private final String name;
    private final List<Op> ops;
    private final Set<Integer> marks;
    private final Set<Buf> roots;

    private Program(String name, List<Op> ops, Set<Integer> marks) {
        this.name = name;
        this.ops = List.copyOf(ops);
        this.marks = Set.copyOf(marks);
        Set<Buf> found = new LinkedHashSet<>();
        Map<Buf, Op> written = new IdentityHashMap<>();
        for (Op op : this.ops)
            for (Access a : op.accesses()) {
                Buf root = a.buf().root();
                found.add(root);
                if (root.role() == Buf.Role.WEIGHT && a.writes())
                    throw new IllegalArgumentException(name + ": " + op + " writes the frozen weight " + root);
                if (root.role() == Buf.Role.ACTIVATION && a.reads() && !written.containsKey(root))
                    throw new IllegalArgumentException(name + ": " + op + " reads " + root + " before it is written");
                if (a.writes())
                    written.put(root, op);
            }
        this.roots = found;
    }

    public static Builder builder(String name) {
        return new Builder(name);
    }

    public String name() {
        return name;
    }

    public List<Op> ops() {
        return ops;
    }

    /// Indexes of operations with which a section begins. Sections that repeat each other, such as the layers of a model, need
    /// code and task graphs for one of them only; where they begin changes nothing else.
    public Set<Integer> marks() {
        return marks;
    }

    /// Buffers with storage of their own that the operations touch, in order of first use.
    public Set<Buf> roots() {
        return roots;
    }

    public long flops() {
        return ops.stream().mapToLong(Op::flops).sum();
    }

    /// This program without the operations whose results are never used: those that only write activations which no
    /// later operation reads. An operation that writes anything else is kept.
    public Program withoutUnread() {
        Set<Buf> read = Collections.newSetFromMap(new IdentityHashMap<>());
        List<Op> kept = new ArrayList<>();
        Set<Integer> fromEnd = new LinkedHashSet<>();
        for (int i = ops.size() - 1; i >= 0; i--) {
            Op op = ops.get(i);
            boolean needed = false;
            for (Access a : op.accesses())
                needed |= a.writes()
                        && (a.buf().role() != Buf.Role.ACTIVATION || read.contains(a.buf().root()));
            if (needed)
                kept.add(op);
            if (marks.contains(i))
                fromEnd.add(kept.size());
            if (!needed)
                continue;
            // a whole buffer that is overwritten is not needed before that; a view covers only a part of it
            for (Access a : op.accesses())
                if (a.mode() == Access.Mode.WRITE && !a.buf().isView())
                    read.remove(a.buf());
            for (Access a : op.accesses())
                if (a.reads())
                    read.add(a.buf().root());
        }
        Collections.reverse(kept);
        Set<Integer> begins = new LinkedHashSet<>();
        for (int n : fromEnd)
            begins.add(kept.size() - n);
        return new Program(name, kept, begins);
    }

    /// One numbered line per operation: its name, then its buffers with shapes and sizes.
    public String print() {
        StringBuilder s = new StringBuilder(
                String.format("program %s: %d operations, %.3f GFLOP%n", name, ops.size(), flops() / 1e9));
        int i = 0;
        for (Op op : ops)
            s.append(String.format("%5d  %s%n", i++, op));
        return s.toString();
    }

    @Override
    public String toString() {
        return "program " + name;
    }

    /// Collects operations in order.
    public static final class Builder {
        private final String name;
        private final List<Op> ops = new ArrayList<>();
        private final Set<Integer> marks = new LinkedHashSet<>();

        private Builder(String name) {
            this.name = name;
        }

        public Builder add(Op op) {
            ops.add(op);
            return this;
        }

        /// A section begins here; see [Program#marks].
        public Builder mark() {
            marks.add(ops.size());
            return this;
        }

        public Program build() {
            return new Program(name, ops, marks);
        }
    }
}
