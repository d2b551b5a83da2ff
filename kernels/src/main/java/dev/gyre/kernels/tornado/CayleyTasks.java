package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Form;
import dev.gyre.kernels.op.Orthogonal.Skew;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Rotations of skew-symmetric blocks and their gradients, composed of the kernels of [CayleyKernels].
final class CayleyTasks extends OpLowering {
    private final Orthogonal map;
    private final int blocks;
    private final int b;
    private final FloatArray q;
    private final FloatArray norms;

    CayleyTasks(OpLowering family, Orthogonal map, int blocks, int b) {
        super(family.tasks, family.memory, family.workGroups && b <= CayleyBlockKernels.MAX_BLOCK);
        this.map = map;
        this.blocks = blocks;
        this.b = b;
        this.q = matrix();
        this.norms = memory.scratch(blocks);
    }

    /// Computes R from the stored blocks v.
    void rotation(Floats v, Floats r) {
        skew(v);
        limit();
        rotation(r);
    }

    /// Adds the gradient for v to dV.
    void gradient(Floats v, Floats dR, Floats dV) {
        skew(v);
        limit();
        FloatArray dQ = gradient(dR);
        if (map.maxNorm() > 0)
            throughLimit(v, dQ);
        if (map.skew() == Skew.PACKED)
            tasks.task("packedGrad", items(blocks * b * b), CayleyKernels::packedGrad, dQ, dV.array(), at(dV.at()),
                    blocks, b);
        else
            tasks.task("fullGrad", items(blocks * b * b), CayleyKernels::fullGrad, dQ, dV.array(), at(dV.at()), blocks,
                    b);
    }

    private FloatArray matrix() {
        return memory.scratch((long) blocks * b * b);
    }

    /// Q from the stored parameters.
    private void skew(Floats v) {
        if (map.skew() == Skew.PACKED)
            tasks.task("skewOfPacked", items(blocks * b * b), CayleyKernels::skewOfPacked, v.array(), q, at(v.at()),
                    blocks, b);
        else
            tasks.task("skewOfFull", items(blocks * b * b), CayleyKernels::skewOfFull, v.array(), q, at(v.at()), blocks,
                    b);
    }

    /// Limits the norms of the blocks; the norms before that are kept for the gradient.
    private void limit() {
        if (map.maxNorm() > 0) {
            tasks.task("blockNorms", items(blocks), CayleyKernels::blockNorms, q, norms, blocks, b);
            tasks.task("limitNorms", items(blocks * b * b), CayleyKernels::limitNorms, q, norms, blocks, b,
                    (float) map.maxNorm());
        }
    }

    private void throughLimit(Floats v, FloatArray dQ) {
        FloatArray inner = memory.scratch(blocks);
        skew(v);
        tasks.task("blockInner", items(blocks), CayleyKernels::blockInner, q, dQ, inner, blocks, b);
        tasks.task("limitNormsGrad", items(blocks * b * b), CayleyKernels::limitNormsGrad, q, norms, inner, dQ, blocks,
                b, (float) map.maxNorm());
    }

    private FloatArray copyOf(Floats x) {
        FloatArray y = matrix();
        copy(x, whole(y), blocks * b * b);
        return y;
    }

    /// `y = scale x + diagonal I`
    private void affine(FloatArray x, Floats y, float scale, float diagonal) {
        tasks.task("scaleAndShift", items(blocks * b * b), CayleyKernels::scaleAndShift, x, y.array(), at(0, y.at()),
                blocks, b, scale, diagonal);
    }

    /// `z = alpha x y + beta w + diagonal I`
    private void product(FloatArray x, FloatArray y, FloatArray w, Floats z, double alpha, double beta,
            double diagonal) {
        tasks.task("product", items(blocks * b * b), CayleyKernels::product, x, y, w, z.array(), at(0, z.at()), blocks,
                b, (float) alpha, (float) beta, (float) diagonal);
    }

    private void addProduct(FloatArray x, FloatArray y, FloatArray z, double alpha) {
        tasks.task("addProduct", items(blocks * b * b), CayleyKernels::addProduct, x, y, z, blocks, b, (float) alpha);
    }

    private static Floats whole(FloatArray x) {
        return new Floats(x, 0);
    }

    private void rotation(Floats r) {
        switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> polynomial(r);
            // (I + Q)(I - Q)^-1 = 2 (I - Q)^-1 - I, since I + Q = 2 I - (I - Q)
            case CAYLEY_PLUS, CAYLEY_MINUS -> affine(inverse(), r, 2f, -1f);
            case NEWTON_SCHULZ -> {
                FloatArray[] x = newtonSchulz(map.terms());
                affine(x[map.terms()], r, 1f, 0f);
            }
        }
    }

    /// A work group for each block.
    private Grid group() {
        int side = CayleyBlockKernels.SIDE;
        return new Grid(blocks * side, side, side, side);
    }

    private void polynomial(Floats r) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        if (p < 2)
            affine(q, r, p == 0 ? 0f : c[1], c[0]);
        else
            if (workGroups)
                tasks.task("polynomialBlock", group(), CayleyBlockKernels::polynomialBlock, new KernelContext(), q,
                        r.array(), at(r.at(), b, p), b * b, c[p]);
            else {
                int rows = blocks * b;
                tasks.task("polynomialRows", items(rows), CayleyKernels::polynomialRows, q,
                        memory.scratch(2L * rows * b),
                        r.array(), at(r.at(), b, p), rows, c[p]);
            }
    }

    /// `(I - Q)^-1` for the plus form, `(I + Q)^-1` for the minus form.
    private FloatArray inverse() {
        FloatArray lu = matrix();
        FloatArray inverse = matrix();
        affine(q, whole(lu), map.form() == Form.CAYLEY_PLUS ? -1f : 1f, 1f);
        tasks.task("luFactors", items(blocks), CayleyKernels::luFactors, lu, blocks, b);
        tasks.task("inverseOfFactors", items(blocks * b), CayleyKernels::inverseOfFactors, lu, inverse, blocks, b);
        return inverse;
    }

    private FloatArray transposed(FloatArray x) {
        FloatArray y = matrix();
        tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, x, y, blocks, b);
        return y;
    }

    /// `X_0 = I + Q`, `X_(k+1) = a X_k + b X_k X_k^T X_k`; all iterates up to `last`.
    private FloatArray[] newtonSchulz(int last) {
        double[][] ab = Orthogonal.newtonSchulz(map.terms());
        FloatArray[] x = new FloatArray[last + 1];
        x[0] = matrix();
        affine(q, whole(x[0]), 1f, 1f);
        FloatArray t = matrix();
        FloatArray gram = matrix();
        for (int k = 0; k < last; k++) {
            x[k + 1] = matrix();
            tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, x[k], t, blocks, b);
            product(t, x[k], x[k], whole(gram), 1, 0, 0);
            product(x[k], gram, x[k], whole(x[k + 1]), ab[k][1], ab[k][0], 0);
        }
        return x;
    }

    /// The gradient for Q, unconstrained.
    private FloatArray gradient(Floats dR) {
        return switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> polynomialGrad(dR);
            case CAYLEY_PLUS, CAYLEY_MINUS -> {
                // +-2 N^T G N^T
                FloatArray g = copyOf(dR);
                FloatArray n = transposed(inverse());
                FloatArray half = matrix();
                FloatArray dQ = matrix();
                product(n, g, g, whole(half), 1, 0, 0);
                product(half, n, g, whole(dQ), map.form() == Form.CAYLEY_PLUS ? 2 : -2, 0, 0);
                yield dQ;
            }
            case NEWTON_SCHULZ -> newtonSchulzGrad(copyOf(dR));
        };
    }

    private FloatArray polynomialGrad(Floats dR) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        FloatArray dQ = matrix();
        int rows = blocks * b;
        if (p < 2) {
            tasks.task("scaleAndShift", items(rows * b), CayleyKernels::scaleAndShift, dR.array(), dQ, at(dR.at(), 0),
                    blocks, b, p == 0 ? 0f : c[1], 0f);
            return dQ;
        }
        FloatArray a = memory.scratch((long) p * rows * b);
        if (workGroups) {
            tasks.task("polynomialGradBlock", group(), CayleyBlockKernels::polynomialGradBlock, new KernelContext(),
                    q, dR.array(), a, dQ, at(dR.at(), b, p), blocks, b * b, c[p]);
            return dQ;
        }
        tasks.task("polynomialGradRows", items(rows), CayleyKernels::polynomialGradRows, q, dR.array(), a,
                at(dR.at(), b, p), rows, c[p]);
        tasks.task("polynomialGradColumns", items(rows), CayleyKernels::polynomialGradColumns, q, a,
                memory.scratch(2L * rows * b), dQ, at(b, p), rows);
        return dQ;
    }

    /// One step `Y = a X + b X X^T X` backwards: `dX = a G + b (G X^T X + X G^T X + X X^T G)`.
    private FloatArray newtonSchulzGrad(FloatArray g) {
        double[][] ab = Orthogonal.newtonSchulz(map.terms());
        FloatArray[] x = newtonSchulz(map.terms() - 1);
        FloatArray t = matrix();
        FloatArray s = matrix();
        FloatArray next = matrix();
        for (int k = map.terms() - 1; k >= 0; k--) {
            double a = ab[k][0];
            double w = ab[k][1];
            tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, x[k], t, blocks, b);
            product(t, x[k], x[k], whole(s), 1, 0, 0);
            product(g, s, g, whole(next), w, a, 0);
            product(x[k], t, x[k], whole(s), 1, 0, 0);
            addProduct(s, g, next, w);
            tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, g, t, blocks, b);
            product(t, x[k], x[k], whole(s), 1, 0, 0);
            addProduct(x[k], s, next, w);
            FloatArray swap = g;
            g = next;
            next = swap;
        }
        return g;
    }
}
