package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Householder reflections of rows (HRA): the unit vectors and the reflections, one at a time.
final class ReflectKernels {
    private ReflectKernels() {
    }

    /// HRA: rows of u (r,d) are the columns of p (d,r) divided by their norms.
    static void unitVectors(IntArray at, int slot, FloatArray p, FloatArray u, int d, int r) {
        int pAt = at.get(slot);
        int uAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (r & ALL); i++) {
            float sum = 0f;
            for (int f = 0; f < d; f++)
                sum += p.get(pAt + f * r + i) * p.get(pAt + f * r + i);
            float inverse = 1f / TornadoMath.sqrt(sum);
            for (int f = 0; f < d; f++)
                u.set(uAt + i * d + f, p.get(pAt + f * r + i) * inverse);
        }
    }

    /// Adds `(dU_i - u_i (u_i dU_i)) / ||p_i||` to column i of dP.
    static void unitVectorsGrad(IntArray at, int slot, FloatArray p, FloatArray u, FloatArray dU, FloatArray dP, int d,
            int r) {
        int pAt = at.get(slot);
        int uAt = at.get(slot + 1);
        int dUAt = at.get(slot + 2);
        int dPAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < (r & ALL); i++) {
            float sum = 0f;
            float along = 0f;
            for (int f = 0; f < d; f++) {
                float x = p.get(pAt + f * r + i);
                sum += x * x;
                along += u.get(uAt + i * d + f) * dU.get(dUAt + i * d + f);
            }
            float inverse = 1f / TornadoMath.sqrt(sum);
            for (int f = 0; f < d; f++) {
                float x = dU.get(dUAt + i * d + f) - u.get(uAt + i * d + f) * along;
                dP.set(dPAt + f * r + i, dP.get(dPAt + f * r + i) + x * inverse);
            }
        }
    }

    /// Modified Gram-Schmidt over the columns of p, in order, by one work item: from each column its projections on
    /// the earlier ones are subtracted, then it is divided by its norm.
    static void gramSchmidt(IntArray at, int slot, FloatArray p, FloatArray u, int d, int r) {
        int pAt = at.get(slot);
        int uAt = at.get(slot + 1);
        for (@Parallel int one = 0; one < 1; one++)
            for (int i = 0; i < r; i++) {
                for (int f = 0; f < d; f++)
                    u.set(uAt + i * d + f, p.get(pAt + f * r + i));
                for (int j = 0; j < i; j++) {
                    float along = 0f;
                    for (int f = 0; f < d; f++)
                        along += u.get(uAt + i * d + f) * u.get(uAt + j * d + f);
                    for (int f = 0; f < d; f++)
                        u.set(uAt + i * d + f, u.get(uAt + i * d + f) - along * u.get(uAt + j * d + f));
                }
                float sum = 0f;
                for (int f = 0; f < d; f++)
                    sum += u.get(uAt + i * d + f) * u.get(uAt + i * d + f);
                float inverse = 1f / TornadoMath.sqrt(sum);
                for (int f = 0; f < d; f++)
                    u.set(uAt + i * d + f, u.get(uAt + i * d + f) * inverse);
            }
    }

    /// `s[i,j] = a_i b_j` for rows of a (r,d) and rows of b (r,d), or columns of b (d,r) with `columns`.
    static void innerProducts(IntArray at, int slot, FloatArray a, FloatArray b, FloatArray s, int d, int r,
            int columns) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int sAt = at.get(slot + 2);
        for (@Parallel int e = 0; e < r * r; e++) {
            int j = e % r;
            float sum = 0f;
            for (int f = 0; f < d; f++) {
                float x = columns != 0 ? b.get(bAt + f * r + j) : b.get(bAt + j * d + f);
                sum += a.get(aAt + e / r * d + f) * x;
            }
            s.set(sAt + e, sum);
        }
    }

    /// Gradient of [#gramSchmidt], P = U^T T with T = `upper` (r,r) upper triangular: with `M = lower(inner) mirrored`,
    /// `inner[i,j] = -u_i dU_j` taken from `inner` = u_i dU_j, X = dU - U M, then `dP T^T = X` solved from the last column
    /// back; each work item has one feature, `solved` (r,d) keeps its columns.
    static void gramSchmidtGrad(IntArray at, int slot, FloatArray u, FloatArray dU, FloatArray upper, FloatArray inner,
            FloatArray solved, FloatArray dP, int d, int r) {
        int uAt = at.get(slot);
        int dUAt = at.get(slot + 1);
        int upperAt = at.get(slot + 2);
        int innerAt = at.get(slot + 3);
        int solvedAt = at.get(slot + 4);
        int dPAt = at.get(slot + 5);
        for (@Parallel int f = 0; f < (d & ALL); f++)
            for (int back = 0; back < r; back++) {
                int j = r - 1 - back;
                float x = dU.get(dUAt + j * d + f);
                for (int i = 0; i < r; i++) {
                    int lo = TornadoMath.min(i, j);
                    int hi = TornadoMath.max(i, j);
                    x -= u.get(uAt + i * d + f) * inner.get(innerAt + lo * r + hi);
                }
                for (int k = j + 1; k < r; k++)
                    x -= upper.get(upperAt + j * r + k) * solved.get(solvedAt + k * d + f);
                x = x / upper.get(upperAt + j * r + j);
                solved.set(solvedAt + j * d + f, x);
                dP.set(dPAt + f * r + j, dP.get(dPAt + f * r + j) + x);
            }
    }

    /// `along[t] = z_t u`, rows of z (N,d) with one unit vector.
    static void rowInner(IntArray at, int slot, FloatArray z, FloatArray u, FloatArray along, int N, int d) {
        int zAt = at.get(slot);
        int uAt = at.get(slot + 1);
        int alongAt = at.get(slot + 2);
        for (@Parallel int t = 0; t < (N & ALL); t++) {
            float sum = 0f;
            for (int f = 0; f < d; f++)
                sum += z.get(zAt + t * d + f) * u.get(uAt + f);
            along.set(alongAt + t, sum);
        }
    }

    /// `z_t -= 2 along[t] u`, a reflection of every row.
    static void reflect(IntArray at, int slot, FloatArray u, FloatArray along, FloatArray z, int N, int d) {
        int uAt = at.get(slot);
        int alongAt = at.get(slot + 1);
        int zAt = at.get(slot + 2);
        for (@Parallel int e = 0; e < N * d; e++)
            z.set(zAt + e, z.get(zAt + e) - 2f * along.get(alongAt + e / d) * u.get(uAt + e % d));
    }

    /// `dU[f] = -2 sum over t of v_t[f] (g_t u) + g_t[f] (v_t u)`, with v the reflection's inputs and g the gradients of its
    /// outputs; `alongV`, `alongG` hold the inner products.
    static void reflectionGrad(IntArray at, int slot, FloatArray v, FloatArray g, FloatArray alongV, FloatArray alongG,
            FloatArray dU, int N, int d) {
        int vAt = at.get(slot);
        int gAt = at.get(slot + 1);
        int alongVAt = at.get(slot + 2);
        int alongGAt = at.get(slot + 3);
        int dUAt = at.get(slot + 4);
        for (@Parallel int f = 0; f < (d & ALL); f++) {
            float sum = 0f;
            for (int t = 0; t < N; t++)
                sum += v.get(vAt + t * d + f) * alongG.get(alongGAt + t)
                        + g.get(gAt + t * d + f) * alongV.get(alongVAt + t);
            dU.set(dUAt + f, -2f * sum);
        }
    }
}
