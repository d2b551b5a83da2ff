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
    static void skewOfPacked(IntArray at, int slot, FloatArray v, FloatArray q, int blocks, int b) {
        int vAt = at.get(slot);
        int qAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int i = e / b % b;
            int j = e % b;
            int lo = TornadoMath.min(i, j);
            int hi = TornadoMath.max(i, j);
            int k = e / (b * b) * (b * (b - 1) >> 1) + lo * b - (lo * (lo + 1) >> 1) + hi - lo - 1;
            float x = lo == hi ? 0f : v.get(vAt + TornadoMath.max(k, 0));
            q.set(qAt + e, i < j ? x : -x);
        }
    }

    /// `Q = (X - X^T) / 2` of full blocks.
    static void skewOfFull(IntArray at, int slot, FloatArray x, FloatArray q, int blocks, int b) {
        int xAt = at.get(slot);
        int qAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int i = e / b % b;
            int j = e % b;
            int transposed = e / (b * b) * (b * b) + j * b + i;
            q.set(qAt + e, 0.5f * (x.get(xAt + e) - x.get(xAt + transposed)));
        }
    }

    /// Adds the gradient of packed blocks, `dV[k] += dQ[i,j] - dQ[j,i]`.
    static void packedGrad(IntArray at, int slot, FloatArray dQ, FloatArray dV, int blocks, int b) {
        int dQAt = at.get(slot);
        int dVAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int i = e / b % b;
            int j = e % b;
            if (i < j) {
                int block = e / (b * b);
                int k = dVAt + block * (b * (b - 1) >> 1) + i * b - (i * (i + 1) >> 1) + j - i - 1;
                dV.set(k, dV.get(k) + dQ.get(dQAt + e) - dQ.get(dQAt + block * (b * b) + j * b + i));
            }
        }
    }

    /// Adds the gradient of full blocks, `dX += (dQ - dQ^T) / 2`.
    static void fullGrad(IntArray at, int slot, FloatArray dQ, FloatArray dX, int blocks, int b) {
        int dQAt = at.get(slot);
        int dXAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int transposed = e / (b * b) * (b * b) + e % b * b + e / b % b;
            dX.set(dXAt + e, dX.get(dXAt + e) + 0.5f * (dQ.get(dQAt + e) - dQ.get(dQAt + transposed)));
        }
    }

    /// `y = scale x + diagonal I`
    static void scaleAndShift(IntArray at, int slot, FloatArray x, FloatArray y, int blocks, int b, float scale,
            float diagonal) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++)
            y.set(yAt + e, scale * x.get(xAt + e) + (e / b % b == e % b ? diagonal : 0f));
    }

    /// `z = alpha x y + beta w + diagonal I`, block by block.
    static void product(IntArray at, int slot, FloatArray x, FloatArray y, FloatArray w, FloatArray z, int blocks,
            int b, float alpha, float beta, float diagonal) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        int wAt = at.get(slot + 2);
        int zAt = at.get(slot + 3);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int row = e / b * b;
            int column = e / (b * b) * (b * b) + e % b;
            float sum = 0f;
            for (int k = 0; k < b; k++)
                sum += x.get(xAt + row + k) * y.get(yAt + column + k * b);
            z.set(zAt + e, alpha * sum + beta * w.get(wAt + e) + (e / b % b == e % b ? diagonal : 0f));
        }
    }

    /// `z += alpha x y`, block by block.
    static void addProduct(IntArray at, int slot, FloatArray x, FloatArray y, FloatArray z, int blocks, int b,
            float alpha) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        int zAt = at.get(slot + 2);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            int row = e / b * b;
            int column = e / (b * b) * (b * b) + e % b;
            float sum = 0f;
            for (int k = 0; k < b; k++)
                sum += x.get(xAt + row + k) * y.get(yAt + column + k * b);
            z.set(zAt + e, z.get(zAt + e) + alpha * sum);
        }
    }

    /// `R = I + 2 Q + ... + 2 Q^(p-1) + last Q^p` by Horner's rule, p >= 2. Row i of `X Q` is row i of X times Q, so a work item
    /// takes a row through all steps: rows = blocks b items, p b^2 multiply-adds each. x holds two rows for each of them,
    /// read and written in turn, with element j of all rows adjacent. `at` also holds b and p: as constants they would make
    /// TornadoVM unroll the loops.
    static void polynomialRows(IntArray at, int slot, FloatArray q, FloatArray x, FloatArray r, int rows, float last) {
        int qAt = at.get(slot);
        int xAt = at.get(slot + 1);
        int rAt = at.get(slot + 2);
        int b = at.get(slot + 3);
        int p = at.get(slot + 4);
        for (@Parallel int e = 0; e < (rows & ALL); e++) {
            int i = e % b;
            int block = (e - i) * b;
            for (int j = 0; j < b; j++)
                x.set(xAt + e + j * rows, last * q.get(qAt + block + i * b + j) + (j == i ? 2f : 0f));
            for (int s = 2; s <= p; s++) {
                int from = e + (s & 1) * rows * b;
                int to = e + (1 - (s & 1)) * rows * b;
                for (int j = 0; j < b; j++) {
                    float sum = 0f;
                    for (int k = 0; k < b; k++)
                        sum += x.get(xAt + from + k * rows) * q.get(qAt + block + k * b + j);
                    x.set(xAt + to + j * rows, sum + (j == i ? s == p ? 1f : 2f : 0f));
                }
            }
            for (int j = 0; j < b; j++)
                r.set(rAt + e * b + j, x.get(xAt + e + (1 - (p & 1)) * rows * b + j * rows));
        }
    }

    /// First half of [#polynomialRows]'s gradient, row by row: `A_p = last G`, `A_j = 2 G - A_(j+1) Q` down to A_1, all kept
    /// in a, A_p first, each as x in [#polynomialRows].
    static void polynomialGradRows(IntArray at, int slot, FloatArray q, FloatArray dR, FloatArray a, int rows,
            float last) {
        int qAt = at.get(slot);
        int dRAt = at.get(slot + 1);
        int aAt = at.get(slot + 2);
        int b = at.get(slot + 3);
        int p = at.get(slot + 4);
        for (@Parallel int e = 0; e < (rows & ALL); e++) {
            int block = e / b * b * b;
            for (int j = 0; j < b; j++)
                a.set(aAt + e + j * rows, last * dR.get(dRAt + e * b + j));
            for (int s = 1; s < p; s++) {
                int from = e + (s - 1) * rows * b;
                int to = from + rows * b;
                for (int j = 0; j < b; j++) {
                    float sum = 0f;
                    for (int k = 0; k < b; k++)
                        sum += a.get(aAt + from + k * rows) * q.get(qAt + block + k * b + j);
                    a.set(aAt + to + j * rows, 2f * dR.get(dRAt + e * b + j) - sum);
                }
            }
        }
    }

    /// Second half, column by column: `dQ = sum over j of (Q^T)^(j-1) A_j`, by Horner's rule `S = A_j - Q S` from j = p to 1.
    static void polynomialGradColumns(IntArray at, int slot, FloatArray q, FloatArray a, FloatArray x, FloatArray dQ,
            int rows) {
        int qAt = at.get(slot);
        int aAt = at.get(slot + 1);
        int xAt = at.get(slot + 2);
        int dQAt = at.get(slot + 3);
        int b = at.get(slot + 4);
        int p = at.get(slot + 5);
        for (@Parallel int e = 0; e < (rows & ALL); e++) {
            int c = e % b;
            int first = e - c;
            for (int i = 0; i < b; i++)
                x.set(xAt + e + i * rows, a.get(aAt + first + i + c * rows));
            for (int s = 1; s < p; s++) {
                int from = e + (1 - (s & 1)) * rows * b;
                int to = e + (s & 1) * rows * b;
                for (int i = 0; i < b; i++) {
                    float sum = 0f;
                    for (int k = 0; k < b; k++)
                        sum += q.get(qAt + (first + i) * b + k) * x.get(xAt + from + k * rows);
                    x.set(xAt + to + i * rows, a.get(aAt + s * rows * b + first + i + c * rows) - sum);
                }
            }
            for (int i = 0; i < b; i++)
                dQ.set(dQAt + (first + i) * b + c, x.get(xAt + e + (1 - (p & 1)) * rows * b + i * rows));
        }
    }

    /// `y = x^T`, block by block.
    static void transposeBlocks(IntArray at, int slot, FloatArray x, FloatArray y, int blocks, int b) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++)
            y.set(yAt + e, x.get(xAt + e / (b * b) * (b * b) + e % b * b + e / b % b));
    }

    /// Overwrites each block A with its factors L (unit diagonal, below) and U: A = L U. No pivots: `I - Q` and `I + Q` are
    /// positive definite in the sense that their symmetric part is I, so every pivot is at least 1.
    static void luFactors(IntArray at, int slot, FloatArray a, int blocks, int b) {
        int aAt = at.get(slot);
        for (@Parallel int n = 0; n < (blocks & ALL); n++) {
            int o = n * b * b;
            for (int k = 0; k < b; k++) {
                float pivot = 1f / a.get(aAt + o + k * b + k);
                for (int i = k + 1; i < b; i++) {
                    float l = a.get(aAt + o + i * b + k) * pivot;
                    a.set(aAt + o + i * b + k, l);
                    for (int j = k + 1; j < b; j++)
                        a.set(aAt + o + i * b + j, a.get(aAt + o + i * b + j) - l * a.get(aAt + o + k * b + j));
                }
            }
        }
    }

    /// The inverse from [#luFactors], one work item per column: forward substitution in the unit vector, then back.
    static void inverseOfFactors(IntArray at, int slot, FloatArray lu, FloatArray inverse, int blocks, int b) {
        int luAt = at.get(slot);
        int inverseAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b; e++) {
            int o = e / b * b * b;
            int c = e % b;
            for (int i = 0; i < b; i++) {
                float x = i == c ? 1f : 0f;
                for (int k = c; k < i; k++)
                    x -= lu.get(luAt + o + i * b + k) * inverse.get(inverseAt + o + k * b + c);
                inverse.set(inverseAt + o + i * b + c, i < c ? 0f : x);
            }
            for (int up = 0; up < b; up++) {
                int i = b - 1 - up;
                float x = inverse.get(inverseAt + o + i * b + c);
                for (int k = i + 1; k < b; k++)
                    x -= lu.get(luAt + o + i * b + k) * inverse.get(inverseAt + o + k * b + c);
                inverse.set(inverseAt + o + i * b + c, x / lu.get(luAt + o + i * b + i));
            }
        }
    }

    /// `norm[n] = ||Q_n||_F`, one work item per block.
    static void blockNorms(IntArray at, int slot, FloatArray q, FloatArray norm, int blocks, int b) {
        int qAt = at.get(slot);
        int normAt = at.get(slot + 1);
        for (@Parallel int n = 0; n < (blocks & ALL); n++) {
            float sum = 0f;
            for (int i = 0; i < b * b; i++) {
                float x = q.get(qAt + n * b * b + i);
                sum += x * x;
            }
            norm.set(normAt + n, TornadoMath.sqrt(sum));
        }
    }

    /// Where a block's norm exceeds `limit`: `Q <- Q limit / (norm + 1e-12)`.
    static void limitNorms(IntArray at, int slot, FloatArray norm, FloatArray q, int blocks, int b, float limit) {
        int normAt = at.get(slot);
        int qAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            float x = norm.get(normAt + e / (b * b));
            q.set(qAt + e, x > limit ? q.get(qAt + e) * (limit / (x + 1e-12f)) : q.get(qAt + e));
        }
    }

    /// `inner[n] = <Q_n, D_n>`, the elementwise inner product.
    static void blockInner(IntArray at, int slot, FloatArray q, FloatArray d, FloatArray inner, int blocks, int b) {
        int qAt = at.get(slot);
        int dAt = at.get(slot + 1);
        int innerAt = at.get(slot + 2);
        for (@Parallel int n = 0; n < (blocks & ALL); n++) {
            float sum = 0f;
            for (int i = 0; i < b * b; i++)
                sum += q.get(qAt + n * b * b + i) * d.get(dAt + n * b * b + i);
            inner.set(innerAt + n, sum);
        }
    }

    /// Gradient through [#limitNorms], with Q before the scaling and D the gradient after it:
    /// `D <- k (D - Q <Q,D> / (norm (norm + 1e-12)))`, `k = limit / (norm + 1e-12)`.
    static void limitNormsGrad(IntArray at, int slot, FloatArray q, FloatArray norm, FloatArray inner, FloatArray d,
            int blocks, int b, float limit) {
        int qAt = at.get(slot);
        int normAt = at.get(slot + 1);
        int innerAt = at.get(slot + 2);
        int dAt = at.get(slot + 3);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            float x = norm.get(normAt + e / (b * b));
            float k = limit / (x + 1e-12f);
            float scaled =
                    k * (d.get(dAt + e) - q.get(qAt + e) * inner.get(innerAt + e / (b * b))
                            / (TornadoMath.max(x, 1e-12f) * (x + 1e-12f)));
            d.set(dAt + e, x > limit ? scaled : d.get(dAt + e));
        }
    }

    /// COFT: scales each stored block v_n in place so that `||Q_n||_F = sqrt(2) ||v_n|| <= limit`.
    static void coftProject(IntArray at, int slot, FloatArray v, int blocks, int m, float limit) {
        int vAt = at.get(slot);
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
    static void maskBlocks(IntArray at, int slot, FloatArray r, IntArray mask, int blocks, int b, int identity) {
        int rAt = at.get(slot);
        int maskAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < blocks * b * b; e++) {
            float one = identity != 0 && e / b % b == e % b ? 1f : 0f;
            r.set(rAt + e, mask.get(maskAt + e / (b * b)) != 0 ? one : r.get(rAt + e));
        }
    }
}
