package dev.gyre.model.emit;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import org.jspecify.annotations.Nullable;

/// The model's own weight W (out, in): `y = x W^T`, `dX = dY W`, and `dW += dY^T x` where it is trained.
public final class BaseLinear implements Linear {
    private final Buf weight;
    private final @Nullable Buf dWeight;
    private final int in;
    private final int out;

    /// @param name the weight's name in the model directory
    public BaseLinear(Buffers store, String name, int in, int out) {
        this.weight = store.weight(name);
        this.dWeight = store.weightGrad(name);
        this.in = in;
        this.out = out;
    }

    public Buf weight() {
        return weight;
    }

    @Override
    public void forward(Emitter e, Buf x, Buf y, int N) {
        e.add(new ProductOps.MatMul(Form.NT, x, weight, y, N, out, in, 1f, false));
    }

    @Override
    public void backward(Emitter e, @Nullable Buf x, Buf dY, @Nullable Buf dX, boolean accumulate, int N) {
        if (dWeight != null)
            e.add(new ProductOps.MatMul(Form.TN, dY, java.util.Objects.requireNonNull(x), dWeight, out, in, N, 1f,
                    true));
        if (dX != null)
            e.add(new ProductOps.MatMul(Form.NN, dY, weight, dX, N, in, out, 1f, accumulate));
    }

    @Override
    public boolean needsInput() {
        return dWeight != null;
    }

    @Override
    public boolean trains() {
        return dWeight != null;
    }
}
