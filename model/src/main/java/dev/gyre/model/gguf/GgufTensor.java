package dev.gyre.model.gguf;

import java.util.List;

/// One tensor of a file.
///
/// @param dims the row's length first, as the file has them
/// @param begin first byte in the file
public record GgufTensor(String name, GgufType type, List<Long> dims, long begin, long bytes) {
    public GgufTensor {
        dims = List.copyOf(dims);
    }

    /// Values of a row.
    public int columns() {
        return Math.toIntExact(dims.getFirst());
    }

    public int rows() {
        long n = 1;
        for (int i = 1; i < dims.size(); i++)
            n *= dims.get(i);
        return Math.toIntExact(n);
    }

    /// The shape with rows before columns.
    public List<Long> shape() {
        return dims.reversed();
    }
}
