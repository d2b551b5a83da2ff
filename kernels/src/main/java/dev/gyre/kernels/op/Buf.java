package dev.gyre.kernels.op;

import java.util.Arrays;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// A named, typed array of fixed shape that operations read and write. A `Buf` is a handle: it owns
/// no memory, a [Session] does. Buffers are compared by identity; two with equal fields are different buffers.
///
/// A view ([#view]) is a window of another buffer's elements and shares its storage: parameters of all layers
/// are in one buffer so that AdamW and the gradient norm are one operation each, and every layer uses its view.
public final class Buf {
    /// What a buffer is for; decides who allocates it, how long it lives, and whether the host writes or reads it.
    public enum Role {
        /// Frozen model weight: bound once by [Session#bind], never written by an operation.
        WEIGHT,
        /// Trainable parameters, F32: written by [OptimiserOps.AdamW], read back at checkpoints.
        PARAM,
        /// Gradient of a PARAM, accumulated over micro-batches; lives between runs.
        GRAD,
        /// Optimiser moments, key/value cache: lives between runs.
        STATE,
        /// Set by the host before a run: token ids, labels, positions, the step's scalars.
        INPUT,
        /// Read by the host after a run: loss, logits, gradient norm.
        OUTPUT,
        /// Lives from its first write to its last read inside one run of one program; [MemoryPlan] places it.
        ACTIVATION
    }

    private final String name;
    private final DType dtype;
    private final Role role;
    private final int[] dims;
    private final long size;
    private final @Nullable Buf base;
    private final long offset;

    private Buf(String name, DType dtype, Role role, @Nullable Buf base, long offset, int... dims) {
        this.name = Objects.requireNonNull(name);
        this.dtype = dtype;
        this.role = role;
        this.dims = dims.clone();
        this.base = base;
        this.offset = offset;
        long n = 1;
        for (int d : dims) {
            if (d < 0)
                throw new IllegalArgumentException(name + ": negative dimension in " + Arrays.toString(dims));
            n = Math.multiplyExact(n, d);
        }
        this.size = n;
    }

    /// A new buffer of its own; `dims` from outermost to innermost, row-major, none for a scalar.
    public static Buf of(String name, DType dtype, Role role, int... dims) {
        boolean stored = role == Role.WEIGHT;
        if (!stored && (dtype == DType.BF16 || dtype == DType.NF4))
            throw new IllegalArgumentException(name + ": " + dtype + " is storage of frozen weights, not of " + role);
        return new Buf(name, dtype, role, null, 0, dims);
    }

    public static Buf weight(String name, DType dtype, int... dims) {
        return of(name, dtype, Role.WEIGHT, dims);
    }

    public static Buf param(String name, int... dims) {
        return of(name, DType.F32, Role.PARAM, dims);
    }

    public static Buf grad(String name, int... dims) {
        return of(name, DType.F32, Role.GRAD, dims);
    }

    public static Buf state(String name, int... dims) {
        return of(name, DType.F32, Role.STATE, dims);
    }

    public static Buf input(String name, DType dtype, int... dims) {
        return of(name, dtype, Role.INPUT, dims);
    }

    public static Buf output(String name, int... dims) {
        return of(name, DType.F32, Role.OUTPUT, dims);
    }

    public static Buf activation(String name, int... dims) {
        return of(name, DType.F32, Role.ACTIVATION, dims);
    }

    /// A window of `dims` elements that starts `offset` elements into this buffer. NF4 has no views.
    public Buf view(String name, long offset, int... dims) {
        if (dtype == DType.NF4)
            throw new IllegalArgumentException(name + ": an NF4 buffer has no views");
        Buf v = new Buf(name, dtype, role, base == null ? this : base, this.offset + offset, dims);
        if (offset < 0 || offset + v.size > size)
            throw new IllegalArgumentException(
                    name + ": view of " + v.size + " elements at " + offset + " leaves " + this);
        return v;
    }

    public String name() {
        return name;
    }

    public DType dtype() {
        return dtype;
    }

    public Role role() {
        return role;
    }

    /// Number of elements.
    public long size() {
        return size;
    }

    /// Number of elements as an array index; throws when it exceeds one.
    public int length() {
        return Math.toIntExact(size);
    }

    public int rank() {
        return dims.length;
    }

    public int dim(int i) {
        return dims[i];
    }

    public int[] dims() {
        return dims.clone();
    }

    /// The buffer that owns the storage: this one, or the one it is a view of.
    public Buf root() {
        return base == null ? this : base;
    }

    /// First element of this buffer within [#root].
    public long offset() {
        return offset;
    }

    public boolean isView() {
        return base != null;
    }

    /// `name (8,16) F32`
    @Override
    public String toString() {
        String shape = IntStream.of(dims).mapToObj(Integer::toString).collect(Collectors.joining(","));
        return name + " (" + shape + ") " + dtype;
    }
}
