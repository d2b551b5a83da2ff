package dev.gyre.model.adapter;

import dev.gyre.kernels.op.Buf;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Linear;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// `y = inner(x M)`: the input-centric form of an orthogonal adapter (OFTv2, equation of the forward pass). The rotated
/// input is not kept: the frozen weight has no gradient that would need it, and where something inside does, it is
/// rotated again.
public final class RotatedLinear implements Linear {
    private final Rotation rotation;
    private final Linear inner;
    private final int in;

    public RotatedLinear(Rotation rotation, Linear inner, int in) {
        this.rotation = rotation;
        this.inner = inner;
        this.in = in;
    }

    @Override
    public void forward(Emitter e, Buf x, Buf y, int N) {
        rotation.prepare(e);
        inner.forward(e, rotated(e, x, N), y, N);
    }

    private Buf rotated(Emitter e, Buf x, int N) {
        Buf r = e.act("rotated", N, in);
        rotation.apply(e, x, r, N);
        return r;
    }

    @Override
    public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
        Objects.requireNonNull(x);
        Buf again = inner.needsInput() ? rotated(e, x, N) : null;
        Buf dRotated = e.act("d rotated", N, in);
        inner.backward(e, again, dY, dRotated, false, N);
        rotation.backward(e, x, dRotated, dX, accumulate, N);
    }

    @Override
    public boolean needsInput() {
        return true;
    }

    @Override
    public boolean trains() {
        return true;
    }
}
