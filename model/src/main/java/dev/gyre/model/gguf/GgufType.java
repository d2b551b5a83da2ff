package dev.gyre.model.gguf;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Types of tensors that are read, all of them, and written, the first five. A row of a tensor is stored in blocks of
/// [#size] values, each in [#bytes] bytes.
public enum GgufType {
    F32(0, 1, 4, 0), F16(1, 1, 2, 1), BF16(30, 1, 2, 32), Q8_0(8, 32, 34, 7), Q4_0(2, 32, 18, 2),
    Q4_1(3, 32, 20, 3), Q5_0(6, 32, 22, 8), Q5_1(7, 32, 24, 9), Q4_K(12, 256, 144, 15), Q5_K(13, 256, 176, 17),
    Q6_K(14, 256, 210, 18);

    /// Types that a model can be written in.
    public static final List<GgufType> WRITTEN = List.of(F32, F16, BF16, Q8_0, Q4_0);

    /// ggml's numbers of types that are not read.
    private static final Map<Integer, String> OTHERS = Map.ofEntries(Map.entry(9, "Q8_1"), Map.entry(10, "Q2_K"),
            Map.entry(11, "Q3_K"), Map.entry(15, "Q8_K"), Map.entry(16, "IQ2_XXS"), Map.entry(17, "IQ2_XS"),
            Map.entry(18, "IQ3_XXS"), Map.entry(19, "IQ1_S"), Map.entry(20, "IQ4_NL"), Map.entry(21, "IQ3_S"),
            Map.entry(22, "IQ2_S"), Map.entry(23, "IQ4_XS"), Map.entry(24, "I8"), Map.entry(25, "I16"),
            Map.entry(26, "I32"), Map.entry(27, "I64"), Map.entry(28, "F64"), Map.entry(29, "IQ1_M"),
            Map.entry(34, "TQ1_0"), Map.entry(35, "TQ2_0"), Map.entry(39, "MXFP4"));

    /// ggml's number of the type.
    public final int id;
    /// Values of a block.
    public final int size;
    /// Bytes of a block.
    public final int bytes;
    /// llama.cpp's number for a file mostly of this type, `general.file_type`.
    public final int fileType;

    GgufType(int id, int size, int bytes, int fileType) {
        this.id = id;
        this.size = size;
        this.bytes = bytes;
        this.fileType = fileType;
    }

    static @Nullable GgufType of(long id) {
        for (GgufType t : values())
            if (t.id == id)
                return t;
        return null;
    }

    /// What ggml calls a type that is not read.
    static String name(long id) {
        return OTHERS.getOrDefault((int) Math.min(id, Integer.MAX_VALUE), "type " + Long.toUnsignedString(id));
    }

    static String all() {
        return Arrays.stream(values()).map(Enum::name).collect(Collectors.joining(", "));
    }

    /// Whether values are stored one by one.
    public boolean isPlain() {
        return size == 1;
    }

    /// Bytes of a row of `n` values, a multiple of [#size].
    public long row(long n) {
        return n / size * bytes;
    }
}
