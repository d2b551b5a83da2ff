package dev.gyre.model.format;

import java.util.List;
import java.util.stream.Collectors;

/// One entry of a safetensors header. `begin` and `end` are byte positions in the file.
public record TensorInfo(String name, TensorType type, List<Long> shape, long begin, long end) {
    public TensorInfo {
        shape = List.copyOf(shape);
    }

    /// Number of elements.
    public long size() {
        return (end - begin) / type.width;
    }

    public long bytes() {
        return end - begin;
    }

    /// Whether the shape is exactly `dims`.
    public boolean hasShape(long... dims) {
        if (dims.length != shape.size())
            return false;
        for (int i = 0; i < dims.length; i++)
            if (dims[i] != shape.get(i))
                return false;
        return true;
    }

    public int[] dims() {
        return shape.stream().mapToInt(Math::toIntExact).toArray();
    }

    public static String text(List<Long> shape) {
        return shape.stream().map(String::valueOf).collect(Collectors.joining(", ", "(", ")"));
    }

    @Override
    public String toString() {
        return name + " " + type + " " + text(shape);
    }
}
