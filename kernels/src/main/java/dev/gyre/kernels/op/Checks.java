package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Helpers of the families' records: checks of buffer sizes, optional accesses.
final class Checks {
    private Checks() {
    }

    static void check(boolean ok, String op, Buf... bufs) {
        if (!ok)
            throw new IllegalArgumentException(op + ": buffers do not fit its sizes: " + List.of(bufs));
    }

    static @Nullable Access opt(@Nullable Buf b, boolean update) {
        return b == null ? null : update ? update(b) : read(b);
    }

    static List<Access> present(@Nullable Access... all) {
        List<Access> out = new ArrayList<>();
        for (Access a : all)
            if (a != null)
                out.add(a);
        return out;
    }
}
