package dev.gyre.model.adapter.oft;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.model.emit.BaseLinear;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Linear;
import dev.gyre.model.emit.Tensor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// OFT v1, the weight-centric baseline that OFTv2 replaces: every step forms `W' = W R^T` and, backwards, the whole weight
/// gradient `dW' = dY^T x`. Dense: R as a d x d matrix, `2 n d^2` each way; by blocks: `2 n d b`.
///
/// Backward: `dX = dY W'`, `dR = dW'^T W` (its diagonal blocks).
final class RotatedWeight implements Linear {
    private final Buffers store;
    private final BaseLinear base;
    private final Orthogonal map;
    private final Tensor v;
    private final int d;
    private final int n;
    private final int b;
    private final int stored;
    private final boolean dense;
    private @Nullable Buf w;
    private @Nullable Buf rotated;

    RotatedWeight(Buffers store, BaseLinear base, Orthogonal map, Tensor v, int d, int n, int b, boolean dense) {
        this.store = store;
        this.base = base;
        this.map = map;
        this.v = v;
        this.d = d;
        this.n = n;
        this.b = b;
        this.stored = v.dims()[0];
        this.dense = dense;
    }

    @Override
    public void forward(Emitter e, Buf x, Buf y, int N) {
        Buf weight = base.weight();
        if (weight.dtype() != dev.gyre.kernels.op.DType.F32) {
            Buf decoded = e.act("W", n, d);
            e.add(new ProductOps.Decode(weight, decoded));
            weight = decoded;
        }
        Buf r = e.act("R", stored, b, b);
        e.add(new CayleyOps.Cayley(map, store.param(v), r, stored, b));
        Buf turned = e.act("W rotated", n, d);
        if (dense) {
            Buf full = e.act("R dense", d, d);
            e.add(new RotateOps.BlockDiagonal(r, full, d, b, stored));
            e.add(new ProductOps.MatMul(Form.NT, weight, full, turned, n, d, d, 1f, false));
        } else {
            e.add(new RotateOps.BlockRotate(weight, r, turned, n, d, b, stored, true, false));
        }
        e.add(new ProductOps.MatMul(Form.NT, x, turned, y, N, n, d, 1f, false));
        w = weight;
        rotated = turned;
    }

    @Override
    public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
        Buf weight = Objects.requireNonNull(w);
        Buf dW = e.act("d W rotated", n, d);
        e.add(new ProductOps.MatMul(Form.TN, dY, Objects.requireNonNull(x), dW, n, d, N, 1f, false));
        Buf dR = e.act("d R", stored, b, b);
        if (dense) {
            Buf dFull = e.act("d R dense", d, d);
            e.add(new ProductOps.MatMul(Form.TN, dW, weight, dFull, d, d, n, 1f, false));
            e.add(new RotateOps.BlockDiagonalGrad(dFull, dR, d, b, stored));
        } else {
            e.add(new RotateOps.BlockRotateGrad(dW, weight, dR, n, d, b, stored));
        }
        e.add(new CayleyOps.CayleyGrad(map, store.param(v), dR, store.grad(v), stored, b));
        if (dX != null)
            e.add(new ProductOps.MatMul(Form.NN, dY, Objects.requireNonNull(rotated), dX, N, d, n, 1f, accumulate));
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
