package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Buf;

/// A buffer as the kernels see it: its storage, and offset and length in elements. The array is fetched at each run,
/// because weights are bound after the session is opened.
record Operand(BufStorage storage, int off, int length, Buf buf) {
    float[] f() {
        return storage.floats();
    }

    int[] i() {
        return storage.ints();
    }
}
