package dev.gyre.kernels.op;

/// Element type of a [Buf]. All arithmetic is F32 (the reference backend: F64); BF16 and NF4 are storage
/// of frozen weights only and are decoded inside the operation that reads them.
public enum DType {
    /// IEEE single precision, 4 bytes.
    F32,
    /// Upper half of an F32, 2 bytes.
    BF16,
    /// 4-bit NormalFloat codes, two to a byte, and block maxima; see [HostData.NF4].
    NF4,
    /// 32-bit signed integer: token ids, labels, positions, permutations, flags.
    I32;

    /// Bytes that `elements` values of this type take, block maxima of NF4 not counted.
    public long bytes(long elements) {
        return switch (this) {
            case F32, I32 -> Math.multiplyExact(elements, 4L);
            case BF16 -> Math.multiplyExact(elements, 2L);
            case NF4 -> (elements + 1) / 2;
        };
    }
}
