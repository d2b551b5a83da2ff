package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Buf;

/// A buffer as the kernels see it: its storage and the place of its first element. The array is asked for at each run,
/// because weights are bound after the session is opened.
record View(Slot slot, int off, int length, Buf buf) {
    float[] f() {
        return slot.floats();
    }

    int[] i() {
        return slot.ints();
    }
}
