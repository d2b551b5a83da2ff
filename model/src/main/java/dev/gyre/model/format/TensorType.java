package dev.gyre.model.format;

import org.jspecify.annotations.Nullable;

/// Element types of safetensors that Gyre reads. F8 and packed types are refused. Declared in the order in which the
/// reference library lays tensors out, wide ones first.
public enum TensorType {
    I64(8), F64(8), F32(4), I32(4), BF16(2), F16(2), I16(2), U8(1), I8(1), BOOL(1);

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
