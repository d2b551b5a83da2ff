package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Gradient norm and AdamW.
final class OptimiserKernels {
    private OptimiserKernels() {
    }

    /// Part s of `||x||^2`: elements `s, s + parts, ...`, summed in double.
    static void squareParts(IntArray at, int slot, FloatArray x, FloatArray partial, int n, int parts) {
        int xAt = at.get(slot);
        int partialAt = at.get(slot + 1);
        for (@Parallel int s = 0; s < (parts & ALL); s++) {
            double sum = 0;
            for (int i = s; i < n; i += parts) {
                double v = x.get(xAt + i);
                sum += v * v;
            }
            partial.set(partialAt + s, (float) sum);
        }
    }

    /// `norm = sqrt(sum of the parts)`
    static void rootOfParts(IntArray at, int slot, FloatArray partial, FloatArray norm, int parts) {
        int partialAt = at.get(slot);
        int normAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < 1; i++) {
            double sum = 0;
            for (int s = 0; s < parts; s++)
                sum += partial.get(partialAt + s);
            norm.set(normAt, (float) TornadoMath.sqrt(sum));
        }
    }

    /// `p -= lr wd p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p -= lr/c1 m / (sqrt(v/c2) + eps)` with g clipped to the
    /// norm `maxNorm`. hp: lr, b1, b2, eps, c1, c2, maxNorm, wd; an array, because they change from step to step and scalar
    /// arguments are constants of the compiled kernel.
    static void adamW(IntArray at, int slot, FloatArray g, FloatArray hp, FloatArray norm, FloatArray p, FloatArray m,
            FloatArray v, int n, int decay) {
        int gAt = at.get(slot);
        int hpAt = at.get(slot + 1);
        int normAt = at.get(slot + 2);
        int pAt = at.get(slot + 3);
        int mAt = at.get(slot + 4);
        int vAt = at.get(slot + 5);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float lr = hp.get(hpAt);
            float b1 = hp.get(hpAt + 1);
            float b2 = hp.get(hpAt + 2);
            float maxNorm = hp.get(hpAt + 6);
            float clip = maxNorm > 0f ? TornadoMath.min(1f, maxNorm / (norm.get(normAt) + 1e-6f)) : 1f;
            float wd = decay != 0 ? hp.get(hpAt + 7) : 0f;
            float grad = g.get(gAt + i) * clip;
            float m1 = b1 * m.get(mAt + i) + (1f - b1) * grad;
            float v1 = b2 * v.get(vAt + i) + (1f - b2) * grad * grad;
            float old = p.get(pAt + i);
            float step = lr / hp.get(hpAt + 4) * m1 / (TornadoMath.sqrt(v1 / hp.get(hpAt + 5)) + hp.get(hpAt + 3));
            m.set(mAt + i, m1);
            v.set(vAt + i, v1);
            p.set(pAt + i, old - lr * wd * old - step);
        }
    }
}
