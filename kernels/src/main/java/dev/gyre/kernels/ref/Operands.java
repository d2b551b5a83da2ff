package dev.gyre.kernels.ref;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The memory of a session: an array of its own for every root buffer, doubles for all types but I32.
final class Operands {
    private final Map<Buf, double[]> doubles = new IdentityHashMap<>();
    private final Map<Buf, int[]> ints = new IdentityHashMap<>();

    /// Zeros for all buffers but weights, which get their values from [#bind].
    Operands(List<Program> programs) {
        for (Program p : programs)
            for (Buf root : p.roots())
                switch (root.dtype()) {
                case I32 -> ints.putIfAbsent(root, new int[root.length()]);
                case F32, BF16, NF4 -> {
                    if (root.role() != Buf.Role.WEIGHT)
                        doubles.putIfAbsent(root, new double[root.length()]);
                }
                }
    }

    void bind(Buf weight, double[] values) {
        if (doubles.putIfAbsent(weight, values) != null)
            throw new IllegalStateException("bind: " + weight + " is bound already");
    }

    /// The elements of a buffer or view, shared with the session's memory.
    Vec vec(Buf buf) {
        double[] a = doubles.get(buf.root());
        if (a == null)
            throw new IllegalStateException(
                    buf + (buf.role() == Buf.Role.WEIGHT ? " is not bound" : " is in no program of this session"));
        return Vec.of(a, (int) buf.offset(), buf.length());
    }

    @Nullable
    Vec optional(@Nullable Buf buf) {
        return buf == null ? null : vec(buf);
    }

    /// A copy of the elements of an I32 buffer or view.
    int[] ints(Buf buf) {
        int at = (int) buf.offset();
        return Arrays.copyOfRange(intStorage(buf), at, at + buf.length());
    }

    /// The single element of an I32 buffer, or the first of several.
    int first(Buf buf) {
        return ints(buf)[0];
    }

    void write(Buf buf, int[] values) {
        System.arraycopy(values, 0, intStorage(buf), (int) buf.offset(), values.length);
    }

    private int[] intStorage(Buf buf) {
        int[] a = ints.get(buf.root());
        if (a == null)
            throw new IllegalStateException(buf + " is in no program of this session");
        return a;
    }

    long bytes() {
        return doubles.values().stream().mapToLong(a -> 8L * a.length).sum()
                + ints.values().stream().mapToLong(a -> 4L * a.length).sum();
    }

    void clear() {
        doubles.clear();
        ints.clear();
    }
}
