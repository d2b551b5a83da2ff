package dev.gyre.kernels.ref;

import java.util.Arrays;

/// A window of a `double[]`: array, offset and size of one operand. Access outside of the window throws, so
/// that the reference cannot read or write another operand by mistake.
final class Vec {
    private final double[] a;
    private final int offset;
    private final int size;

    private Vec(double[] a, int offset, int size) {
        if (offset < 0 || size < 0 || offset + size > a.length)
            throw new IndexOutOfBoundsException("window " + offset + "+" + size + " of " + a.length);
        this.a = a;
        this.offset = offset;
        this.size = size;
    }

    static Vec of(double... a) {
        return new Vec(a, 0, a.length);
    }

    static Vec of(double[] a, int offset, int size) {
        return new Vec(a, offset, size);
    }

    /// A new window of `n` zeros.
    static Vec zeros(int n) {
        return of(new double[n]);
    }

    /// `size` elements of this window from `from` on.
    Vec slice(int from, int size) {
        if (from < 0 || from + size > this.size)
            throw new IndexOutOfBoundsException("slice " + from + "+" + size + " of " + this.size);
        return new Vec(a, offset + from, size);
    }

    int size() {
        return size;
    }

    double get(int i) {
        return a[offset + check(i)];
    }

    void set(int i, double v) {
        a[offset + check(i)] = v;
    }

    void add(int i, double v) {
        a[offset + check(i)] += v;
    }

    void fill(double v) {
        for (int i = 0; i < size; i++)
            set(i, v);
    }

    /// Sets all elements.
    void write(double[] values) {
        if (values.length != size)
            throw new IndexOutOfBoundsException(values.length + " values for " + size + " elements");
        System.arraycopy(values, 0, a, offset, size);
    }

    double[] toArray() {
        return Arrays.copyOfRange(a, offset, offset + size);
    }

    private int check(int i) {
        if (i < 0 || i >= size)
            throw new IndexOutOfBoundsException("element " + i + " of " + size);
        return i;
    }
}
