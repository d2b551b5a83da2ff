package dev.gyre.model.format;

import org.jspecify.annotations.Nullable;

/// Element types of safetensors. A model may hold tensors of all of them, for others to use; weights are read as F32, F16,
/// BF16 or, packed, as U8. Types of less than a byte are not known. Declared in the order in which the reference library
/// lays tensors out, wide ones first.
public enum TensorType {
    U64(8), I64(8), F64(8), C64(8), F32(4), U32(4), I32(4), BF16(2), F16(2), U16(2), I16(2), F8_E5M2FNUZ(1),
    F8_E4M3FNUZ(1),
    F8_E8M0(1), F8_E4M3(1), F8_E5M2(1), U8(1), I8(1), BOOL(1);

    /// Bytes per element.
    public final int width;

    TensorType(int width) {
        this.width = width;
    }

    static @Nullable TensorType of(String tag) {
        for (TensorType t : values())
            if (t.name().equals(tag))
                return t;
        return null;
    }

    public boolean isFloat() {
        return this == F32 || this == F16 || this == BF16 || this == F64;
    }
}
