package dev.gyre.kernels;

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

    /// Bytes held for weights, persistent buffers and the activation arena.
    long bytes();

    @Override
    void close();
}
