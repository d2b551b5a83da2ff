package dev.gyre.kernels;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Programs of one [Backend#open] call together with the memory of their buffers. Not thread-safe.
public interface Session extends AutoCloseable {
    /// Gives a WEIGHT its numbers; once, before the first run. The session may keep `data` or copy it.
    void bind(Buf weight, HostData data);

    /// Writes all elements of an F32 buffer (any role but WEIGHT and ACTIVATION).
    void write(Buf buf, float[] values);

    /// Writes all elements of an I32 buffer.
    void write(Buf buf, int[] values);

    /// Reads all elements of an F32 buffer of any role but WEIGHT and ACTIVATION.
    void read(Buf buf, float[] into);

    /// A fresh array with [#read]'s elements.
    default float[] read(Buf buf) {
        float[] a = new float[buf.length()];
        read(buf, a);
        return a;
    }

    /// Runs all operations of one of the session's programs; returns when their results are readable.
    void run(Program program);

    /// Switches the measuring of single operations on, with counts at zero, or off. Off, which is how a session opens, it
    /// costs nothing.
    ///
    /// @return whether this backend measures; false where operations are not run one by one (a TornadoVM device runs whole
    ///         task graphs), then [#timings] stays empty
    default boolean time(boolean on) {
        return false;
    }

    /// Operations measured since `time(true)`, program by program in the order in which they run; those that did not run
    /// are left out.
    default List<OpTime> timings() {
        return List.of();
    }

    /// Runs a program operation by operation and stops behind the first that writes NaN or infinity: what to look at when a
    /// loss is not finite.
    ///
    /// @return that operation; null when all numbers are finite, or where single operations cannot be watched
    default @Nullable Op firstNonFinite(Program program) {
        return null;
    }

    /// What the runs so far spent on compiling.
    ///
    /// @param kernels compiled, each for all operations that need the same code
    /// @param seconds of the first runs, compiling and running
    record Compiled(int kernels, double seconds) {
    }

    /// Null where nothing is compiled, as on the CPU.
    default @Nullable Compiled compiled() {
        return null;
    }

    /// Bytes held for weights, persistent buffers and the activation arena.
    long bytes();

    @Override
    void close();
}
