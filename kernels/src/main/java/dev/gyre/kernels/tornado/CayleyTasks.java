package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Op;
import dev.gyre.kernels.Orthogonal;
import dev.gyre.kernels.Orthogonal.Form;
import dev.gyre.kernels.Orthogonal.Skew;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Rotations of skew-symmetric blocks and their gradients, put together from the products of [CayleyKernels].
final class CayleyTasks {
    private final TaskGraphs tasks;
    private final DeviceMemory memory;
    private final Orthogonal map;
    private final int blocks;
    private final int b;
    private final FloatArray q;
    private final FloatArray norms;

    private CayleyTasks(TaskGraphs tasks, DeviceMemory memory, Orthogonal map, int blocks, int b) {
        this.tasks = tasks;
        this.memory = memory;
        this.map = map;
        this.blocks = blocks;
        this.b = b;
        this.q = matrix();
        this.norms = memory.scratch(blocks);
    }

    static void rotation(TaskGraphs tasks, DeviceMemory memory, Op.Cayley op) {
        CayleyTasks t = new CayleyTasks(tasks, memory, op.map(), op.blocks(), op.b());
        t.skew(memory.floats(op.v()));
        t.limit();
        t.rotation(memory.floats(op.r()));
    }

    static void gradient(TaskGraphs tasks, DeviceMemory memory, Op.CayleyGrad op) {
        CayleyTasks t = new CayleyTasks(tasks, memory, op.map(), op.blocks(), op.b());
        Floats v = memory.floats(op.v());
        t.skew(v);
        t.limit();
        FloatArray g = t.copyOf(memory.floats(op.dR()));
        FloatArray dQ = t.gradient(g);
        if (op.map().maxNorm() > 0)
            t.throughLimit(v, dQ);
        Floats dV = memory.floats(op.dV());
        if (op.map().skew() == Skew.PACKED)
            t.g().task(t.id("packedGrad"), CayleyKernels::packedGrad, dQ, dV.array(), dV.at(), t.blocks, t.b);
        else
            t.g().task(t.id("fullGrad"), CayleyKernels::fullGrad, dQ, dV.array(), dV.at(), t.blocks, t.b);
    }

    private TaskGraph g() {
        return tasks.graph();
    }

    private String id(String kernel) {
        return tasks.id(kernel);
    }

    private FloatArray matrix() {
        return memory.scratch((long) blocks * b * b);
    }

    /// Q of the stored numbers.
    private void skew(Floats v) {
        if (map.skew() == Skew.PACKED)
            g().task(id("skewOfPacked"), CayleyKernels::skewOfPacked, v.array(), v.at(), q, blocks, b);
        else
            g().task(id("skewOfFull"), CayleyKernels::skewOfFull, v.array(), v.at(), q, blocks, b);
    }

    /// Keeps the norms of the blocks before it scales them.
    private void limit() {
        if (map.maxNorm() > 0) {
            g().task(id("blockNorms"), CayleyKernels::blockNorms, q, norms, blocks, b);
            g().task(id("limitNorms"), CayleyKernels::limitNorms, q, norms, blocks, b, map.maxNorm());
        }
    }

    private void throughLimit(Floats v, FloatArray dQ) {
        FloatArray inner = memory.scratch(blocks);
        skew(v);
        g().task(id("blockInner"), CayleyKernels::blockInner, q, dQ, inner, blocks, b);
        g().task(id("limitNormsGrad"), CayleyKernels::limitNormsGrad, q, norms, inner, dQ, blocks, b, map.maxNorm());
    }

    private FloatArray copyOf(Floats x) {
        FloatArray y = matrix();
        g().task(id("copyTo"), ElementKernels::copyTo, x.array(), x.at(), y, 0, blocks * b * b);
        return y;
    }

    /// `y = scale x + diagonal I`
    private void affine(FloatArray x, Floats y, float scale, float diagonal) {
        g().task(id("scaleAndShift"), CayleyKernels::scaleAndShift, x, 0, y.array(), y.at(), blocks, b, scale,
                diagonal);
    }

    /// `z = alpha x y + beta w + diagonal I`
    private void product(FloatArray x, FloatArray y, FloatArray w, Floats z, double alpha, double beta,
            double diagonal) {
        g().task(id("product"), CayleyKernels::product, x, y, w, 0, z.array(), z.at(), blocks, b, (float) alpha,
                (float) beta, (float) diagonal);
    }

    private void addProduct(FloatArray x, FloatArray y, FloatArray z, double alpha) {
        g().task(id("addProduct"), CayleyKernels::addProduct, x, y, z, blocks, b, (float) alpha);
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

    /// Horner: `R = c_p Q + c_(p-1) I`, then `R <- R Q + c_j I` down to j = 0.
    private void polynomial(Floats r) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        if (p < 2) {
            affine(q, r, p == 0 ? 0f : c[1], c[0]);
            return;
        }
        FloatArray x = matrix();
        FloatArray y = p > 2 ? matrix() : x;
        affine(q, whole(x), c[p], c[p - 1]);
        for (int j = p - 2; j >= 0; j--) {
            product(x, q, q, j == 0 ? r : whole(y), 1, 0, c[j]);
            FloatArray swap = x;
            x = y;
            y = swap;
        }
    }

    /// `(I - Q)^-1` for the plus form, `(I + Q)^-1` for the minus form.
    private FloatArray inverse() {
        FloatArray lu = matrix();
        FloatArray inverse = matrix();
        affine(q, whole(lu), map.form() == Form.CAYLEY_PLUS ? -1f : 1f, 1f);
        g().task(id("luFactors"), CayleyKernels::luFactors, lu, blocks, b);
        g().task(id("inverseOfFactors"), CayleyKernels::inverseOfFactors, lu, inverse, blocks, b);
        return inverse;
    }

    private FloatArray transposed(FloatArray x) {
        FloatArray y = matrix();
        g().task(id("transposeBlocks"), CayleyKernels::transposeBlocks, x, y, blocks, b);
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
            g().task(id("transposeBlocks"), CayleyKernels::transposeBlocks, x[k], t, blocks, b);
            product(t, x[k], x[k], whole(gram), 1, 0, 0);
            product(x[k], gram, x[k], whole(x[k + 1]), ab[k][1], ab[k][0], 0);
        }
        return x;
    }

    /// The gradient for Q, unconstrained, given g = dR (which may be overwritten).
    private FloatArray gradient(FloatArray g) {
        return switch (map.form()) {
            case NEUMANN, NEUMANN_LEGACY -> polynomialGrad(g);
            case CAYLEY_PLUS, CAYLEY_MINUS -> {
                // +-2 N^T G N^T
                FloatArray n = transposed(inverse());
                FloatArray half = matrix();
                FloatArray dQ = matrix();
                product(n, g, g, whole(half), 1, 0, 0);
                product(half, n, g, whole(dQ), map.form() == Form.CAYLEY_PLUS ? 2 : -2, 0, 0);
                yield dQ;
            }
            case NEWTON_SCHULZ -> newtonSchulzGrad(g);
        };
    }

    /// With powers `P_j = Q^j`: `A = c_p G, D = 0`; for j = p down to 2: `D += P_(j-1)^T A`, `A = c_(j-1) G + A Q^T`; the
    /// gradient is D + A. `Q^T = -Q` and `P_j^T = (-1)^j P_j` spare the transposes.
    private FloatArray polynomialGrad(FloatArray g) {
        float[] c = map.coefficients();
        int p = c.length - 1;
        FloatArray d = matrix();
        if (p < 2) {
            affine(g, whole(d), p == 0 ? 0f : c[1], 0f);
            return d;
        }
        FloatArray[] power = new FloatArray[p];
        power[1] = q;
        for (int j = 2; j < p; j++) {
            power[j] = matrix();
            product(power[j - 1], q, q, whole(power[j]), 1, 0, 0);
        }
        FloatArray a = matrix();
        FloatArray next = matrix();
        g().task(id("fillWith"), ElementKernels::fillWith, d, 0, blocks * b * b, 0f);
        affine(g, whole(a), c[p], 0f);
        for (int j = p; j >= 2; j--) {
            addProduct(power[j - 1], a, d, (j - 1) % 2 == 0 ? 1 : -1);
            product(a, q, g, whole(next), -1, c[j - 1], 0);
            FloatArray swap = a;
            a = next;
            next = swap;
        }
        g().task(id("axpy"), ElementKernels::axpy, 1f, a, 0, d, 0, blocks * b * b);
        return d;
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
            g().task(id("transposeBlocks"), CayleyKernels::transposeBlocks, x[k], t, blocks, b);
            product(t, x[k], x[k], whole(s), 1, 0, 0);
            product(g, s, g, whole(next), w, a, 0);
            product(x[k], t, x[k], whole(s), 1, 0, 0);
            addProduct(s, g, next, w);
            g().task(id("transposeBlocks"), CayleyKernels::transposeBlocks, g, t, blocks, b);
            product(t, x[k], x[k], whole(s), 1, 0, 0);
            addProduct(x[k], s, next, w);
            FloatArray swap = g;
            g = next;
            next = swap;
        }
        return g;
    }
}
