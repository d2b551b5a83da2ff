package dev.gyre.trainer.run;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.HostData;

/// Another session, for devices that do one thing differently.
public class ForwardingSession implements Session {
    private final Session to;

    public ForwardingSession(Session to) {
        this.to = to;
    }

    @Override
    public void bind(Buf weight, HostData data) {
        to.bind(weight, data);
    }

    @Override
    public void write(Buf buf, float[] values) {
        to.write(buf, values);
    }

    @Override
    public void write(Buf buf, int[] values) {
        to.write(buf, values);
    }

    @Override
    public void read(Buf buf, float[] into) {
        to.read(buf, into);
    }

    @Override
    public void run(Program program) {
        to.run(program);
    }

    @Override
    public long bytes() {
        return to.bytes();
    }

    @Override
    public void close() {
        to.close();
    }
}
