package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The kernels of which [CayleyTasks] composes rotations of skew-symmetric blocks and their gradients. All matrices are
/// (blocks, b, b), with one work item per element where elements are independent.
final class CayleyKernels {
    private CayleyKernels() {
    }

    /// `Q` of packed blocks: v (blocks, b(b-1)/2) holds the strict upper triangle row by row; element (i,j) has
    /// index `i b - i(i+1)/2 + j - i - 1`.
    static void skewOfPacked(FloatArray v, FloatArray q, IntArray at, int blocks, int b) {
        int vAt = at.get(0);
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
    static void skewOfFull(FloatArray x, FloatArray q, IntArray at, int blocks, int b) {
        int xAt = at.get(0);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int i = e / b % b;
            int j = e % b;
            int transposed = e / (b * b) * (b * b) + j * b + i;
            q.set(e, 0.5f * (x.get(xAt + e) - x.get(xAt + transposed)));
        }
    }

    /// Adds the gradient of packed blocks, `dV[k] += dQ[i,j] - dQ[j,i]`.
    static void packedGrad(FloatArray dQ, FloatArray dV, IntArray at, int blocks, int b) {
        int dVAt = at.get(0);
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
    static void fullGrad(FloatArray dQ, FloatArray dX, IntArray at, int blocks, int b) {
        int dXAt = at.get(0);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int transposed = e / (b * b) * (b * b) + e % b * b + e / b % b;
            dX.set(dXAt + e, dX.get(dXAt + e) + 0.5f * (dQ.get(e) - dQ.get(transposed)));
        }
    }

    /// `y = scale x + diagonal I`
    static void scaleAndShift(FloatArray x, FloatArray y, IntArray at, int blocks, int b, float scale, float diagonal) {
        int xAt = at.get(0);
        int yAt = at.get(1);
        for (@Parallel int e = 0; e < blocks * b * b; e++)
            y.set(yAt + e, scale * x.get(xAt + e) + (e / b % b == e % b ? diagonal : 0f));
    }

    /// `z = alpha x y + beta w + diagonal I`, block by block.
    static void product(FloatArray x, FloatArray y, FloatArray w, FloatArray z, IntArray at, int blocks, int b,
            float alpha, float beta, float diagonal) {
        int wAt = at.get(0);
        int zAt = at.get(1);
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

    /// `R = I + 2 Q + ... + 2 Q^(p-1) + last Q^p` by Horner's rule, p >= 2. Row i of `X Q` is row i of X times Q, so a work item
    /// takes a row through all steps: rows = blocks b items, p b^2 multiply-adds each. x holds two rows for each of them,
    /// read and written in turn, with element j of all rows adjacent. `at` also holds b and p: as constants they would make
    /// TornadoVM unroll the loops.
    static void polynomialRows(FloatArray q, FloatArray x, FloatArray r, IntArray at, int rows, float last) {
        int rAt = at.get(0);
        int b = at.get(1);
        int p = at.get(2);
        for (@Parallel int e = 0; e < (rows & ALL); e++) {
            int i = e % b;
            int block = (e - i) * b;
            for (int j = 0; j < b; j++)
                x.set(e + j * rows, last * q.get(block + i * b + j) + (j == i ? 2f : 0f));
            for (int s = 2; s <= p; s++) {
                int from = e + (s & 1) * rows * b;
                int to = e + (1 - (s & 1)) * rows * b;
                for (int j = 0; j < b; j++) {
                    float sum = 0f;
                    for (int k = 0; k < b; k++)
                        sum += x.get(from + k * rows) * q.get(block + k * b + j);
                    x.set(to + j * rows, sum + (j == i ? s == p ? 1f : 2f : 0f));
                }
            }
            for (int j = 0; j < b; j++)
                r.set(rAt + e * b + j, x.get(e + (1 - (p & 1)) * rows * b + j * rows));
        }
    }

    /// First half of [#polynomialRows]'s gradient, row by row: `A_p = last G`, `A_j = 2 G - A_(j+1) Q` down to A_1, all kept
    /// in a, A_p first, each as x in [#polynomialRows].
    static void polynomialGradRows(FloatArray q, FloatArray dR, FloatArray a, IntArray at, int rows, float last) {
        int dRAt = at.get(0);
        int b = at.get(1);
        int p = at.get(2);
        for (@Parallel int e = 0; e < (rows & ALL); e++) {
            int block = e / b * b * b;
            for (int j = 0; j < b; j++)
                a.set(e + j * rows, last * dR.get(dRAt + e * b + j));
            for (int s = 1; s < p; s++) {
                int from = e + (s - 1) * rows * b;
                int to = from + rows * b;
                for (int j = 0; j < b; j++) {
                    float sum = 0f;
                    for (int k = 0; k < b; k++)
                        sum += a.get(from + k * rows) * q.get(block + k * b + j);
                    a.set(to + j * rows, 2f * dR.get(dRAt + e * b + j) - sum);
                }
            }
        }
    }

    /// Second half, column by column: `dQ = sum over j of (Q^T)^(j-1) A_j`, by Horner's rule `S = A_j - Q S` from j = p to 1.
    static void polynomialGradColumns(FloatArray q, FloatArray a, FloatArray x, FloatArray dQ, IntArray at, int rows) {
        int b = at.get(0);
        int p = at.get(1);
        for (@Parallel int e = 0; e < (rows & ALL); e++) {
            int c = e % b;
            int first = e - c;
            for (int i = 0; i < b; i++)
                x.set(e + i * rows, a.get(first + i + c * rows));
            for (int s = 1; s < p; s++) {
                int from = e + (1 - (s & 1)) * rows * b;
                int to = e + (s & 1) * rows * b;
                for (int i = 0; i < b; i++) {
                    float sum = 0f;
                    for (int k = 0; k < b; k++)
                        sum += q.get((first + i) * b + k) * x.get(from + k * rows);
                    x.set(to + i * rows, a.get(s * rows * b + first + i + c * rows) - sum);
                }
            }
            for (int i = 0; i < b; i++)
                dQ.set((first + i) * b + c, x.get(e + (1 - (p & 1)) * rows * b + i * rows));
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
        for (@Parallel int n = 0; n < (blocks & ALL); n++) {
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
        for (@Parallel int n = 0; n < (blocks & ALL); n++) {
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
        for (@Parallel int n = 0; n < (blocks & ALL); n++) {
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
    static void coftProject(FloatArray v, IntArray at, int blocks, int m, float limit) {
        int vAt = at.get(0);
        for (@Parallel int n = 0; n < (blocks & ALL); n++) {
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

    /// Replaces the blocks of r whose mask is not 0 by the identity, or by zero.
    static void maskBlocks(FloatArray r, IntArray mask, IntArray at, int blocks, int b, int identity) {
        int rAt = at.get(0);
        int maskAt = at.get(1);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            float one = identity != 0 && e / b % b == e % b ? 1f : 0f;
            r.set(rAt + e, mask.get(maskAt + e / (b * b)) != 0 ? one : r.get(rAt + e));
        }
    }
}
