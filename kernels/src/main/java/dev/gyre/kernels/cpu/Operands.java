package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Buf;
import org.jspecify.annotations.Nullable;

/// Where a session keeps the buffers of an operation.
interface Operands {
    Operand at(Buf b);

    default @Nullable Operand optional(@Nullable Buf b) {
        return b == null ? null : at(b);
    }
}
