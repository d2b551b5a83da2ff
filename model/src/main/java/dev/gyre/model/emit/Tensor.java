package dev.gyre.model.emit;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// A trainable tensor on the host: its name in files, its shape, its values (row-major F32). The values are current before
/// a session opens and after [dev.gyre.model.transformer.TrainSession#pull]; while a session trains, it has its own copy.
public final class Tensor {
    private final String name;
    private final int[] dims;
    private final float @Nullable [] values;
    private final int size;
    private final boolean decay;

    /// @param decay whether AdamW's weight decay applies to it
    public Tensor(String name, float[] values, boolean decay, int... dims) {
        this(name, values, count(dims), decay, dims);
        if (size != values.length)
            throw new IllegalArgumentException(name + ": shape " + Arrays.toString(dims) + " needs " + size
                    + " values, got " + values.length);
    }

    private Tensor(String name, float @Nullable [] values, int size, boolean decay, int... dims) {
        this.name = name;
        this.values = values;
        this.size = size;
        this.decay = decay;
        this.dims = dims.clone();
    }

    /// A tensor without values, for programs that are planned and never run.
    public static Tensor planned(String name, boolean decay, int... dims) {
        return new Tensor(name, null, count(dims), decay, dims);
    }

    private static int count(int... dims) {
        int n = 1;
        for (int d : dims)
            n = Math.multiplyExact(n, d);
        return n;
    }

    public static Tensor zeros(String name, int... dims) {
        return filled(name, 0f, dims);
    }

    public static Tensor zeros(String name, boolean decay, int... dims) {
        return new Tensor(name, new float[count(dims)], decay, dims);
    }

    public static Tensor filled(String name, float value, int... dims) {
        float[] v = new float[count(dims)];
        Arrays.fill(v, value);
        return new Tensor(name, v, true, dims);
    }

    public String name() {
        return name;
    }

    public int[] dims() {
        return dims.clone();
    }

    /// The values themselves, not a copy.
    public float[] values() {
        float[] v = values;
        if (v == null)
            throw new IllegalStateException(name + " is planned only and has no values");
        return v;
    }

    public int size() {
        return size;
    }

    public boolean decay() {
        return decay;
    }

    @Override
    public String toString() {
        return name + " " + Arrays.toString(dims);
    }
}
