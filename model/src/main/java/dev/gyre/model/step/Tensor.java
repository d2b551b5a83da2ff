package dev.gyre.model.step;

import java.util.Arrays;

/// A trainable tensor on the host: its name in files, its shape, its numbers (row-major F32). The numbers are current
/// before a session opens and after it is pulled; while a session trains, they live in the session.
public final class Tensor {
    private final String name;
    private final int[] dims;
    private final float[] values;
    private final boolean decay;

    /// @param decay whether AdamW's weight decay applies to it
    public Tensor(String name, float[] values, boolean decay, int... dims) {
        long n = 1;
        for (int d : dims)
            n *= d;
        if (n != values.length)
            throw new IllegalArgumentException(name + ": shape " + Arrays.toString(dims) + " needs " + n
                    + " numbers, got " + values.length);
        this.name = name;
        this.values = values;
        this.decay = decay;
        this.dims = dims.clone();
    }

    public static Tensor zeros(String name, int... dims) {
        return filled(name, 0f, dims);
    }

    public static Tensor filled(String name, float value, int... dims) {
        int n = 1;
        for (int d : dims)
            n = Math.multiplyExact(n, d);
        float[] v = new float[n];
        Arrays.fill(v, value);
        return new Tensor(name, v, true, dims);
    }

    public String name() {
        return name;
    }

    public int[] dims() {
        return dims.clone();
    }

    /// The numbers themselves, not a copy.
    public float[] values() {
        return values;
    }

    public int size() {
        return values.length;
    }

    public boolean decay() {
        return decay;
    }

    @Override
    public String toString() {
        return name + " " + Arrays.toString(dims);
    }
}
