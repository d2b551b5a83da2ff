package dev.gyre.kernels;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Programs of one [Backend#open] call together with the memory of their buffers. Not thread-safe.
public interface Session extends AutoCloseable {
    /// Gives a WEIGHT its values; once, before the first run. The session may keep `data` or copy it.
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

    /// Switches the timing of single operations on, with counts at zero, or off. It is off when a session opens and
    /// then costs nothing.
    ///
    /// @return whether this backend can time operations; false if it does not run them one by one (a TornadoVM device runs
    ///         whole task graphs); [#timings] is then empty
    default boolean time(boolean on) {
        return false;
    }

    /// Operations timed since `time(true)`, program by program in the order in which they run; those that did not run
    /// are left out.
    default List<OpTime> timings() {
        return List.of();
    }

    /// Runs a program operation by operation and stops after the first that writes NaN or infinity; finds where a
    /// non-finite loss comes from.
    ///
    /// @return that operation; null if all values are finite, or if the backend cannot observe single operations
    default @Nullable Op firstNonFinite(Program program) {
        return null;
    }

    /// What was compiled in the runs so far.
    ///
    /// @param kernels number of kernels; operations with the same code share one
    /// @param graphs number of task graphs; parts of programs that differ only in where their buffers lie share one
    /// @param arrays number of arrays on the device
    /// @param seconds duration of the first runs, compilation included
    record Compiled(int kernels, int graphs, int arrays, double seconds) {
    }

    /// Null if the backend compiles nothing, as on the CPU.
    default @Nullable Compiled compiled() {
        return null;
    }

    /// What was launched on a device, first runs of task graphs (which compile) left out.
    ///
    /// @param graphs task graphs
    /// @param kernels tasks of these graphs
    /// @param hostSeconds CPU time of the launching thread; where the driver waits for the device without sleeping, that too
    record Launched(long graphs, long kernels, double hostSeconds) {
        /// What was launched since `before`.
        public Launched since(Launched before) {
            return new Launched(graphs - before.graphs, kernels - before.kernels, hostSeconds - before.hostSeconds);
        }
    }

    /// Null if the backend launches nothing, as on the CPU.
    default @Nullable Launched launched() {
        return null;
    }

    /// Bytes held for weights, persistent buffers and the activation arena.
    long bytes();

    @Override
    void close();
}
