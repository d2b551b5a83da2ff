package dev.gyre.kernels.check;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;

/// The sizes that every measuring command knows, with the same shapes in each. 7B4 and 7B have the shapes of Llama-2-7B,
/// 4 layers of it and all 32.
public enum Size {
    XS("XS", 2, new Shape(2, 32, 64, 160, 4, 2, 128)), S("S", 4, new Shape(8, 128, 256, 688, 4, 2, 4096)),
    M("M", 12, new Shape(4, 256, 768, 2048, 12, 4, 32000)), L("L", 4, new Shape(2, 256, 2048, 5632, 32, 8, 32000)),
    B7_4("7B4", 4, new Shape(8, 512, 4096, 11008, 32, 32, 32000)),
    B7("7B", 32, new Shape(4, 2048, 4096, 11008, 32, 32, 32000));

    private final String label;
    private final int layers;
    private final Shape shape;

    Size(String label, int layers, Shape shape) {
        this.label = label;
        this.layers = layers;
        this.shape = shape;
    }

    /// The names that users type.
    public static final String NAMES = Arrays.stream(values()).map(Size::toString).collect(Collectors.joining(", "));

    /// By the name that a user types, in any case.
    public static Optional<Size> of(String name) {
        return Arrays.stream(values()).filter(s -> s.label.equals(name.toUpperCase(Locale.ROOT))).findFirst();
    }

    public int layers() {
        return layers;
    }

    public Shape shape() {
        return shape;
    }

    @Override
    public String toString() {
        return label;
    }
}
