package dev.gyre.model.adapter.oft;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.model.adapter.Rotation;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import org.jspecify.annotations.Nullable;

/// Block-diagonal rotation of OFT: `y[t,i] = x[t,i] R[i]`, `R[i]` from the packed skew block `v[i]`.
///
/// | name | shape | note |
/// |---|---|---|
/// | v | (stored, b(b-1)/2) | trained; `stored` is d/b, or 1 when all blocks share one |
/// | R | (stored, b, b) | built once per program run |
///
/// Backward: `dX = dY R^T`, `dR[i] = sum over t of X[t,i]^T dY[t,i]`, then through the Cayley map to `dv`.
final class OftRotation implements Rotation {
    private final Orthogonal map;
    private final Tensor v;
    private final int d;
    private final int b;
    private final int stored;
    private final double coftLimit;
    private final Buffers store;
    private @Nullable Buf r;
    private @Nullable Buf mask;
    private final float dropout;

    /// @param coftLimit bound on `||Q||_F` of each stored block, kept by projecting v itself; 0 for none
    /// @param dropout share of the blocks replaced by the identity in training
    OftRotation(Buffers store, Orthogonal map, Tensor v, int d, int b, double coftLimit, float dropout) {
        this.store = store;
        this.map = map;
        this.v = v;
        this.d = d;
        this.b = b;
        this.stored = v.dims()[0];
        this.coftLimit = coftLimit;
        this.dropout = dropout;
    }

    /// Emits R (stored, b, b), the stored parameter projected first where COFT asks for it.
    Buf emit(Emitter e) {
        Buf param = store.param(v);
        // once a program: where forward runs a second time, v must be what it was in the first
        if (coftLimit > 0 && r == null)
            e.add(new CayleyOps.CoftProject(param, stored, b, coftLimit));
        Buf rot = e.act("R", stored, b, b);
        e.add(new CayleyOps.Cayley(map, param, rot, stored, b));
        return rot;
    }

    @Override
    public void prepare(Emitter e) {
        if (b == 1)
            return;
        Buf rot = emit(e);
        if (dropout > 0 && e.drops()) {
            mask = store.blockMask(v, 1, stored, dropout);
            e.add(new CayleyOps.MaskBlocks(rot, mask, stored, b, true));
        }
        r = rot;
    }

    @Override
    public void apply(Emitter e, Buf x, Buf y, int N) {
        if (r == null)
            e.add(new ElementOps.Copy(x, y));
        else
            e.add(new RotateOps.BlockRotate(x, r, y, N, d, b, stored, false, false));
    }

    @Override
    public void backward(Emitter e, Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
        if (r == null) {
            if (dX != null)
                e.add(accumulate ? new ElementOps.Axpy(1f, dY, dX) : new ElementOps.Copy(dY, dX));
            return;
        }
        Buf dR = e.act("dR", stored, b, b);
        e.add(new RotateOps.BlockRotateGrad(x, dY, dR, N, d, b, stored));
        if (mask != null)
            e.add(new CayleyOps.MaskBlocks(dR, mask, stored, b, false));
        e.add(new CayleyOps.CayleyGrad(map, store.param(v), dR, store.grad(v), stored, b));
        if (dX != null)
            e.add(new RotateOps.BlockRotate(dY, r, dX, N, d, b, stored, true, accumulate));
    }
}
