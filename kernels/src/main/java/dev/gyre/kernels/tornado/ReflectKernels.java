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
    static void unitVectors(FloatArray p, FloatArray u, IntArray at, int d, int r) {
        int pAt = at.get(0);
        int uAt = at.get(1);
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
    static void unitVectorsGrad(FloatArray p, FloatArray u, FloatArray dU, FloatArray dP, IntArray at, int d, int r) {
        int pAt = at.get(0);
        int uAt = at.get(1);
        int dUAt = at.get(2);
        int dPAt = at.get(3);
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
    static void gramSchmidt(FloatArray p, FloatArray u, IntArray at, int d, int r) {
        int pAt = at.get(0);
        int uAt = at.get(1);
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
    static void innerProducts(FloatArray a, FloatArray b, FloatArray s, IntArray at, int d, int r, int columns) {
        int aAt = at.get(0);
        int bAt = at.get(1);
        for (@Parallel int e = 0; e < r * r; e++) {
            int j = e % r;
            float sum = 0f;
            for (int f = 0; f < d; f++) {
                float x = columns != 0 ? b.get(bAt + f * r + j) : b.get(bAt + j * d + f);
                sum += a.get(aAt + e / r * d + f) * x;
            }
            s.set(e, sum);
        }
    }

    /// Gradient of [#gramSchmidt], P = U^T T with T = `upper` (r,r) upper triangular: with `M = lower(inner) mirrored`,
    /// `inner[i,j] = -u_i dU_j` taken from `inner` = u_i dU_j, X = dU - U M, then `dP T^T = X` solved from the last column
    /// back; each work item has one feature, `solved` (r,d) keeps its columns.
    static void gramSchmidtGrad(FloatArray u, FloatArray dU, FloatArray upper, FloatArray inner, FloatArray solved,
            FloatArray dP, IntArray at, int d, int r) {
        int uAt = at.get(0);
        int dUAt = at.get(1);
        int dPAt = at.get(2);
        for (@Parallel int f = 0; f < (d & ALL); f++)
            for (int back = 0; back < r; back++) {
                int j = r - 1 - back;
                float x = dU.get(dUAt + j * d + f);
                for (int i = 0; i < r; i++) {
                    int lo = TornadoMath.min(i, j);
                    int hi = TornadoMath.max(i, j);
                    x -= u.get(uAt + i * d + f) * inner.get(lo * r + hi);
                }
                for (int k = j + 1; k < r; k++)
                    x -= upper.get(j * r + k) * solved.get(k * d + f);
                x = x / upper.get(j * r + j);
                solved.set(j * d + f, x);
                dP.set(dPAt + f * r + j, dP.get(dPAt + f * r + j) + x);
            }
    }

    /// `along[t] = z_t u`, rows of z (N,d) with one unit vector.
    static void rowInner(FloatArray z, FloatArray u, FloatArray along, IntArray at, int N, int d) {
        int zAt = at.get(0);
        int uAt = at.get(1);
        for (@Parallel int t = 0; t < (N & ALL); t++) {
            float sum = 0f;
            for (int f = 0; f < d; f++)
                sum += z.get(zAt + t * d + f) * u.get(uAt + f);
            along.set(t, sum);
        }
    }

    /// `z_t -= 2 along[t] u`, a reflection of every row.
    static void reflect(FloatArray z, FloatArray u, FloatArray along, IntArray at, int N, int d) {
        int zAt = at.get(0);
        int uAt = at.get(1);
        for (@Parallel int e = 0; e < N * d; e++)
            z.set(zAt + e, z.get(zAt + e) - 2f * along.get(e / d) * u.get(uAt + e % d));
    }

    /// `dU[f] = -2 sum over t of v_t[f] (g_t u) + g_t[f] (v_t u)`, with v the reflection's inputs and g the gradients of its
    /// outputs; `alongV`, `alongG` hold the inner products.
    static void reflectionGrad(FloatArray v, FloatArray g, FloatArray alongV, FloatArray alongG, FloatArray dU,
            IntArray at, int N, int d) {
        int dUAt = at.get(0);
        for (@Parallel int f = 0; f < (d & ALL); f++) {
            float sum = 0f;
            for (int t = 0; t < N; t++)
                sum += v.get(t * d + f) * alongG.get(t) + g.get(t * d + f) * alongV.get(t);
            dU.set(dUAt + f, -2f * sum);
        }
    }
}
