package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.HostData;
import org.jspecify.annotations.Nullable;

/// The storage of one root buffer: an arena slab, an array of its own, or the values bound to a weight.
final class BufStorage {
    private final Buf root;
    private float @Nullable [] floats;
    private int @Nullable [] ints;
    private @Nullable HostData data;

    BufStorage(Buf root) {
        this.root = root;
    }

    BufStorage(Buf root, float[] floats) {
        this.root = root;
        this.floats = floats;
    }

    BufStorage(Buf root, int[] ints) {
        this.root = root;
        this.ints = ints;
    }

    /// F32 weights are used in place; the others are decoded by the operations that read them.
    void bind(HostData given) {
        HostData held = given.inMemory();
        data = held;
        if (held instanceof HostData.F32 f)
            floats = f.values;
    }

    boolean bound() {
        return floats != null || ints != null || data != null;
    }

    float[] floats() {
        float[] f = floats;
        if (f == null)
            throw missing("F32");
        return f;
    }

    int[] ints() {
        int[] i = ints;
        if (i == null)
            throw missing("I32");
        return i;
    }

    HostData data() {
        HostData d = data;
        if (d == null)
            throw missing("weight");
        return d;
    }

    private IllegalStateException missing(String what) {
        return new IllegalStateException(root.role() == Buf.Role.WEIGHT
                ? "weight " + root + " has no values: bind it before the first run"
                : root + " is not " + what + " storage");
    }

    long bytes() {
        HostData d = data;
        if (d != null)
            return d.bytes();
        return 4L * (floats != null ? floats.length : ints != null ? ints.length : 0);
    }
}
