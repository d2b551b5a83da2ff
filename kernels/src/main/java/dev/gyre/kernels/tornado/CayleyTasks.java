package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Form;
import dev.gyre.kernels.op.Orthogonal.Skew;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;

/// Rotations of skew-symmetric blocks and their gradients, composed of the kernels of [CayleyKernels].
final class CayleyTasks extends OpLowering {
    private final Orthogonal map;
    private final int blocks;
    private final int b;
    private final Floats q;
    private final Floats norms;

    CayleyTasks(OpLowering family, Orthogonal map, int blocks, int b) {
        super(family.tasks, family.memory, family.workGroups && b <= CayleyBlockKernels.MAX_BLOCK);
        this.map = map;
        this.blocks = blocks;
        this.b = b;
        this.q = matrix();
        this.norms = memory.scratch(blocks);
    }

    /// Whether one kernel does all from the packed parameter.
    private boolean fromPacked() {
        return workGroups && map.skew() == Skew.PACKED && map.maxNorm() == 0
                && (map.form() == Form.NEUMANN || map.form() == Form.NEUMANN_LEGACY)
                && map.coefficients().length > 2;
    }

    /// Computes R from the stored blocks v.
    void rotation(Floats v, Floats r) {
        if (fromPacked()) {
            polynomialBlock(v, r, true);
            return;
        }
        skew(v);
        limit();
        rotation(r);
    }

    /// Adds the gradient for v to dV.
    void gradient(Floats v, Floats dR, Floats dV) {
        if (fromPacked()) {
            polynomialGradBlock(v, dR, dV, true);
            return;
        }
        skew(v);
        limit();
        Floats dQ = gradient(dR);
        if (map.maxNorm() > 0)
            throughLimit(v, dQ);
        if (map.skew() == Skew.PACKED)
            tasks.task("packedGrad", items(blocks * b * b), CayleyKernels::packedGrad, at(dQ.at(), dV.at()), dQ.array(),
                    dV.array(), blocks, b);
        else
            tasks.task("fullGrad", items(blocks * b * b), CayleyKernels::fullGrad, at(dQ.at(), dV.at()), dQ.array(),
                    dV.array(), blocks, b);
    }

    private Floats matrix() {
        return memory.scratch((long) blocks * b * b);
    }

    /// Q from the stored parameters.
    private void skew(Floats v) {
        if (map.skew() == Skew.PACKED)
            tasks.task("skewOfPacked", items(blocks * b * b), CayleyKernels::skewOfPacked, at(v.at(), q.at()),
                    v.array(), q.array(), blocks, b);
        else
            tasks.task("skewOfFull", items(blocks * b * b), CayleyKernels::skewOfFull, at(v.at(), q.at()), v.array(),
                    q.array(), blocks, b);
    }

    /// Limits the norms of the blocks; the norms before that are kept for the gradient.
    private void limit() {
        if (map.maxNorm() > 0) {
            tasks.task("blockNorms", items(blocks), CayleyKernels::blockNorms, at(q.at(), norms.at()), q.array(),
                    norms.array(), blocks, b);
            tasks.task("limitNorms", items(blocks * b * b), CayleyKernels::limitNorms, at(norms.at(), q.at()),
                    norms.array(), q.array(), blocks, b, (float) map.maxNorm());
        }
    }

    private void throughLimit(Floats v, Floats dQ) {
        Floats inner = memory.scratch(blocks);
        skew(v);
        tasks.task("blockInner", items(blocks), CayleyKernels::blockInner, at(q.at(), dQ.at(), inner.at()), q.array(),
                dQ.array(), inner.array(), blocks, b);
        tasks.task("limitNormsGrad", items(blocks * b * b), CayleyKernels::limitNormsGrad,
                at(q.at(), norms.at(), inner.at(), dQ.at()), q.array(), norms.array(), inner.array(), dQ.array(),
                blocks, b, (float) map.maxNorm());
    }

    private Floats copyOf(Floats x) {
        Floats y = matrix();
        copy(x, y, blocks * b * b);
        return y;
    }

    /// `y = scale x + diagonal I`
    private void affine(Floats x, Floats y, float scale, float diagonal) {
        tasks.task("scaleAndShift", items(blocks * b * b), CayleyKernels::scaleAndShift, at(x.at(), y.at()), x.array(),
                y.array(), blocks, b, scale, diagonal);
    }

    /// `z = alpha x y + beta w + diagonal I`
    private void product(Floats x, Floats y, Floats w, Floats z, double alpha, double beta,
            double diagonal) {
        tasks.task("product", items(blocks * b * b), CayleyKernels::product, at(x.at(), y.at(), w.at(), z.at()),
                x.array(), y.array(), w.array(), z.array(), blocks, b, (float) alpha, (float) beta, (float) diagonal);
    }

    private void addProduct(Floats x, Floats y, Floats z, double alpha) {
        tasks.task("addProduct", items(blocks * b * b), CayleyKernels::addProduct, at(x.at(), y.at(), z.at()),
                x.array(), y.array(), z.array(), blocks, b, (float) alpha);
    }

    private void rotation(Floats r) {
        switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> polynomial(r);
            // (I + Q)(I - Q)^-1 = 2 (I - Q)^-1 - I, since I + Q = 2 I - (I - Q)
            case CAYLEY_PLUS, CAYLEY_MINUS -> affine(inverse(), r, 2f, -1f);
            case NEWTON_SCHULZ -> {
                Floats[] x = newtonSchulz(map.terms());
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
                polynomialBlock(q, r, false);
            else {
                int rows = blocks * b;
                Floats x = scratchApart(2L * rows * b, r);
                tasks.task("polynomialRows", items(rows), CayleyKernels::polynomialRows,
                        at(q.at(), x.at(), r.at(), b, p), q.array(), x.array(), r.array(), rows, c[p]);
            }
    }

    private void polynomialBlock(Floats from, Floats r, boolean packed) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        tasks.groupTask("polynomialBlock", group(), CayleyBlockKernels::polynomialBlock, at(from.at(), r.at(), b, p),
                from.array(), r.array(), b * b, c[p], flag(packed));
    }

    private void polynomialGradBlock(Floats from, Floats dR, Floats to, boolean packed) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        Floats a = scratchApart((long) p * blocks * b * b, to);
        tasks.groupTask("polynomialGradBlock", group(), CayleyBlockKernels::polynomialGradBlock,
                at(from.at(), dR.at(), a.at(), to.at(), b, p), from.array(), dR.array(), a.array(), to.array(), blocks,
                b * b, c[p], flag(packed));
    }

    /// `(I - Q)^-1` for the plus form, `(I + Q)^-1` for the minus form.
    private Floats inverse() {
        Floats lu = matrix();
        Floats inverse = matrix();
        affine(q, lu, map.form() == Form.CAYLEY_PLUS ? -1f : 1f, 1f);
        tasks.task("luFactors", items(blocks), CayleyKernels::luFactors, at(lu.at()), lu.array(), blocks, b);
        tasks.task("inverseOfFactors", items(blocks * b), CayleyKernels::inverseOfFactors, at(lu.at(), inverse.at()),
                lu.array(), inverse.array(), blocks, b);
        return inverse;
    }

    private Floats transposed(Floats x) {
        Floats y = matrix();
        tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, at(x.at(), y.at()),
                x.array(), y.array(), blocks, b);
        return y;
    }

    /// `X_0 = I + Q`, `X_(k+1) = a X_k + b X_k X_k^T X_k`; all iterates up to `last`.
    private Floats[] newtonSchulz(int last) {
        double[][] ab = Orthogonal.newtonSchulz(map.terms());
        Floats[] x = new Floats[last + 1];
        x[0] = matrix();
        affine(q, x[0], 1f, 1f);
        Floats t = matrix();
        Floats gram = matrix();
        for (int k = 0; k < last; k++) {
            x[k + 1] = matrix();
            tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, at(x[k].at(), t.at()),
                    x[k].array(), t.array(), blocks, b);
            product(t, x[k], x[k], gram, 1, 0, 0);
            product(x[k], gram, x[k], x[k + 1], ab[k][1], ab[k][0], 0);
        }
        return x;
    }

    /// The gradient for Q, unconstrained.
    private Floats gradient(Floats dR) {
        return switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> polynomialGrad(dR);
            case CAYLEY_PLUS, CAYLEY_MINUS -> {
                // +-2 N^T G N^T
                Floats g = copyOf(dR);
                Floats n = transposed(inverse());
                Floats half = matrix();
                Floats dQ = matrix();
                product(n, g, g, half, 1, 0, 0);
                product(half, n, g, dQ, map.form() == Form.CAYLEY_PLUS ? 2 : -2, 0, 0);
                yield dQ;
            }
            case NEWTON_SCHULZ -> newtonSchulzGrad(copyOf(dR));
        };
    }

    private Floats polynomialGrad(Floats dR) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        Floats dQ = matrix();
        int rows = blocks * b;
        if (p < 2) {
            tasks.task("scaleAndShift", items(rows * b), CayleyKernels::scaleAndShift, at(dR.at(), dQ.at()), dR.array(),
                    dQ.array(), blocks, b, p == 0 ? 0f : c[1], 0f);
            return dQ;
        }
        if (workGroups) {
            polynomialGradBlock(q, dR, dQ, false);
            return dQ;
        }
        Floats a = scratchApart((long) p * rows * b, dQ);
        tasks.task("polynomialGradRows", items(rows), CayleyKernels::polynomialGradRows,
                at(q.at(), dR.at(), a.at(), b, p), q.array(), dR.array(), a.array(), rows, c[p]);
        Floats x = scratchApart(2L * rows * b, dQ);
        tasks.task("polynomialGradColumns", items(rows), CayleyKernels::polynomialGradColumns,
                at(q.at(), a.at(), x.at(), dQ.at(), b, p), q.array(), a.array(), x.array(), dQ.array(), rows);
        return dQ;
    }

    /// One step `Y = a X + b X X^T X` backwards: `dX = a G + b (G X^T X + X G^T X + X X^T G)`.
    private Floats newtonSchulzGrad(Floats g) {
        double[][] ab = Orthogonal.newtonSchulz(map.terms());
        Floats[] x = newtonSchulz(map.terms() - 1);
        Floats t = matrix();
        Floats s = matrix();
        Floats next = matrix();
        for (int k = map.terms() - 1; k >= 0; k--) {
            double a = ab[k][0];
            double w = ab[k][1];
            tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, at(x[k].at(), t.at()),
                    x[k].array(), t.array(), blocks, b);
            product(t, x[k], x[k], s, 1, 0, 0);
            product(g, s, g, next, w, a, 0);
            product(x[k], t, x[k], s, 1, 0, 0);
            addProduct(s, g, next, w);
            tasks.task("transposeBlocks", items(blocks * b * b), CayleyKernels::transposeBlocks, at(g.at(), t.at()),
                    g.array(), t.array(), blocks, b);
            product(t, x[k], x[k], s, 1, 0, 0);
            addProduct(x[k], s, next, w);
            Floats swap = g;
            g = next;
            next = swap;
        }
        return g;
    }
}
