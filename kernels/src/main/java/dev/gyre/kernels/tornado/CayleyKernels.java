package dev.gyre.kernels.tornado;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Steps from which [CayleyTasks] puts together rotations of skew-symmetric blocks, and their gradients. All matrices are
/// (blocks, b, b); one work item per element wherever an element stands alone.
final class CayleyKernels {
    private CayleyKernels() {
    }

    /// `Q` of packed blocks: v (blocks, b(b-1)/2) holds the strict upper triangle row by row, number
    /// `i b - i(i+1)/2 + j - i - 1` is element (i,j).
    static void skewOfPacked(FloatArray v, int vAt, FloatArray q, int blocks, int b) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int i = e / b % b;
            int j = e % b;
            int lo = TornadoMath.min(i, j);
            int hi = TornadoMath.max(i, j);
            int k = e / (b * b) * (b * (b - 1) >> 1) + lo * b - (lo * (lo + 1) >> 1) + hi - lo - 1;
            float x = lo == hi ? 0f : v.get(vAt + TornadoMath.max(k, 0));
            q.set(e, i < j ? x : -x);
        }
    }

    /// `Q = (X - X^T) / 2` of full blocks.
    static void skewOfFull(FloatArray x, int xAt, FloatArray q, int blocks, int b) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int i = e / b % b;
            int j = e % b;
            int transposed = e / (b * b) * (b * b) + j * b + i;
            q.set(e, 0.5f * (x.get(xAt + e) - x.get(xAt + transposed)));
        }
    }

    /// Adds the gradient of the packed numbers, `dV[k] += dQ[i,j] - dQ[j,i]`.
    static void packedGrad(FloatArray dQ, FloatArray dV, int dVAt, int blocks, int b) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int i = e / b % b;
            int j = e % b;
            if (i < j) {
                int block = e / (b * b);
                int k = dVAt + block * (b * (b - 1) >> 1) + i * b - (i * (i + 1) >> 1) + j - i - 1;
                dV.set(k, dV.get(k) + dQ.get(e) - dQ.get(block * (b * b) + j * b + i));
            }
        }
    }

    /// Adds the gradient of full blocks, `dX += (dQ - dQ^T) / 2`.
    static void fullGrad(FloatArray dQ, FloatArray dX, int dXAt, int blocks, int b) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int transposed = e / (b * b) * (b * b) + e % b * b + e / b % b;
            dX.set(dXAt + e, dX.get(dXAt + e) + 0.5f * (dQ.get(e) - dQ.get(transposed)));
        }
    }

    /// `y = scale x + diagonal I`
    static void scaleAndShift(FloatArray x, int xAt, FloatArray y, int yAt, int blocks, int b, float scale,
            float diagonal) {
        for (@Parallel int e = 0; e < blocks * b * b; e++)
            y.set(yAt + e, scale * x.get(xAt + e) + (e / b % b == e % b ? diagonal : 0f));
    }

    /// `z = alpha x y + beta w + diagonal I`, block by block.
    static void product(FloatArray x, FloatArray y, FloatArray w, int wAt, FloatArray z, int zAt, int blocks, int b,
            float alpha, float beta, float diagonal) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int row = e / b * b;
            int column = e / (b * b) * (b * b) + e % b;
            float sum = 0f;
            for (int k = 0; k < b; k++)
                sum += x.get(row + k) * y.get(column + k * b);
            z.set(zAt + e, alpha * sum + beta * w.get(wAt + e) + (e / b % b == e % b ? diagonal : 0f));
        }
    }

    /// `z += alpha x y`, block by block.
    static void addProduct(FloatArray x, FloatArray y, FloatArray z, int blocks, int b, float alpha) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int row = e / b * b;
            int column = e / (b * b) * (b * b) + e % b;
            float sum = 0f;
            for (int k = 0; k < b; k++)
                sum += x.get(row + k) * y.get(column + k * b);
            z.set(e, z.get(e) + alpha * sum);
        }
    }

    /// `y = x^T`, block by block.
    static void transposeBlocks(FloatArray x, FloatArray y, int blocks, int b) {
        for (@Parallel int e = 0; e < blocks * b * b; e++)
            y.set(e, x.get(e / (b * b) * (b * b) + e % b * b + e / b % b));
    }

    /// Overwrites each block A with its factors L (unit diagonal, below) and U: A = L U. No pivots: `I - Q` and `I + Q` are
    /// positive definite in the sense that their symmetric part is I, so every pivot is at least 1.
    static void luFactors(FloatArray a, int blocks, int b) {
        for (@Parallel int n = 0; n < blocks; n++) {
            int o = n * b * b;
            for (int k = 0; k < b; k++) {
                float pivot = 1f / a.get(o + k * b + k);
                for (int i = k + 1; i < b; i++) {
                    float l = a.get(o + i * b + k) * pivot;
                    a.set(o + i * b + k, l);
                    for (int j = k + 1; j < b; j++)
                        a.set(o + i * b + j, a.get(o + i * b + j) - l * a.get(o + k * b + j));
                }
            }
        }
    }

    /// The inverse from [#luFactors], one work item per column: forward substitution in the unit vector, then back.
    static void inverseOfFactors(FloatArray lu, FloatArray inverse, int blocks, int b) {
        for (@Parallel int e = 0; e < blocks * b; e++) {
            int o = e / b * b * b;
            int c = e % b;
            for (int i = 0; i < b; i++) {
                float x = i == c ? 1f : 0f;
                for (int k = c; k < i; k++)
                    x -= lu.get(o + i * b + k) * inverse.get(o + k * b + c);
                inverse.set(o + i * b + c, i < c ? 0f : x);
            }
            for (int up = 0; up < b; up++) {
                int i = b - 1 - up;
                float x = inverse.get(o + i * b + c);
                for (int k = i + 1; k < b; k++)
                    x -= lu.get(o + i * b + k) * inverse.get(o + k * b + c);
                inverse.set(o + i * b + c, x / lu.get(o + i * b + i));
            }
        }
    }

    /// `norm[n] = ||Q_n||_F`, one work item per block.
    static void blockNorms(FloatArray q, FloatArray norm, int blocks, int b) {
        for (@Parallel int n = 0; n < blocks; n++) {
            float sum = 0f;
            for (int i = 0; i < b * b; i++) {
                float x = q.get(n * b * b + i);
                sum += x * x;
            }
            norm.set(n, TornadoMath.sqrt(sum));
        }
    }

    /// Where a block's norm exceeds `limit`: `Q <- Q limit / (norm + 1e-12)`.
    static void limitNorms(FloatArray q, FloatArray norm, int blocks, int b, float limit) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            float x = norm.get(e / (b * b));
            q.set(e, x > limit ? q.get(e) * (limit / (x + 1e-12f)) : q.get(e));
        }
    }

    /// `inner[n] = <Q_n, D_n>`, the elementwise inner product.
    static void blockInner(FloatArray q, FloatArray d, FloatArray inner, int blocks, int b) {
        for (@Parallel int n = 0; n < blocks; n++) {
            float sum = 0f;
            for (int i = 0; i < b * b; i++)
                sum += q.get(n * b * b + i) * d.get(n * b * b + i);
            inner.set(n, sum);
        }
    }

    /// Gradient through [#limitNorms], with Q before the scaling and D the gradient after it:
    /// `D <- k (D - Q <Q,D> / (norm (norm + 1e-12)))`, `k = limit / (norm + 1e-12)`.
    static void limitNormsGrad(FloatArray q, FloatArray norm, FloatArray inner, FloatArray d, int blocks, int b,
            float limit) {
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            float x = norm.get(e / (b * b));
            float k = limit / (x + 1e-12f);
            float scaled =
                    k * (d.get(e) - q.get(e) * inner.get(e / (b * b)) / (TornadoMath.max(x, 1e-12f) * (x + 1e-12f)));
            d.set(e, x > limit ? scaled : d.get(e));
        }
    }

    /// COFT: scales each stored block v_n in place so that `||Q_n||_F = sqrt(2) ||v_n|| <= limit`.
    static void coftProject(FloatArray v, int vAt, int blocks, int m, float limit) {
        for (@Parallel int n = 0; n < blocks; n++) {
            float sum = 0f;
            for (int k = 0; k < m; k++) {
                float x = v.get(vAt + n * m + k);
                sum += x * x;
            }
            float norm = TornadoMath.sqrt(2f * sum);
            float factor = norm > limit ? limit / norm : 1f;
            for (int k = 0; k < m; k++)
                v.set(vAt + n * m + k, v.get(vAt + n * m + k) * factor);
        }
    }
}
