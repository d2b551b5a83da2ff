package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The other orthogonal adapters: the core of PSOFT, the Givens sweep of GOFT, the reflections of HRA.
final class FeatureKernels {
    private FeatureKernels() {
    }

    /// PSOFT: `core = diag(vb) R diag(va) - I`.
    static void psoftCore(FloatArray r, FloatArray va, FloatArray vb, FloatArray core, IntArray at, int n, int useA,
            int useB) {
        int rAt = at.get(0);
        int vaAt = at.get(1);
        int vbAt = at.get(2);
        int coreAt = at.get(3);
        for (@Parallel int e = 0; e < n * n; e++) {
            float x = r.get(rAt + e);
            x = useA != 0 ? x * va.get(vaAt + e % n) : x;
            x = useB != 0 ? x * vb.get(vbAt + e / n) : x;
            core.set(coreAt + e, x - (e / n == e % n ? 1f : 0f));
        }
    }

    /// `dR[i,j] = vb[i] dCore[i,j] va[j]`
    static void psoftRotationGrad(FloatArray dCore, FloatArray va, FloatArray vb, FloatArray dR, IntArray at, int n,
            int useA, int useB) {
        int dCoreAt = at.get(0);
        int vaAt = at.get(1);
        int vbAt = at.get(2);
        int dRAt = at.get(3);
        for (@Parallel int e = 0; e < n * n; e++) {
            float x = dCore.get(dCoreAt + e);
            x = useA != 0 ? x * va.get(vaAt + e % n) : x;
            x = useB != 0 ? x * vb.get(vbAt + e / n) : x;
            dR.set(dRAt + e, x);
        }
    }

    /// `dVa[j] += sum over i of dCore[i,j] vb[i] R[i,j]`
    static void psoftColumnGrad(FloatArray r, FloatArray dCore, FloatArray vb, FloatArray dVa, IntArray at, int n,
            int useB) {
        int rAt = at.get(0);
        int dCoreAt = at.get(1);
        int vbAt = at.get(2);
        int dVaAt = at.get(3);
        for (@Parallel int j = 0; j < (n & ALL); j++) {
            float sum = 0f;
            for (int i = 0; i < n; i++) {
                float x = dCore.get(dCoreAt + i * n + j) * r.get(rAt + i * n + j);
                sum += useB != 0 ? x * vb.get(vbAt + i) : x;
            }
            dVa.set(dVaAt + j, dVa.get(dVaAt + j) + sum);
        }
    }

    /// `dVb[i] += sum over j of dCore[i,j] R[i,j] va[j]`
    static void psoftRowGrad(FloatArray r, FloatArray dCore, FloatArray va, FloatArray dVb, IntArray at, int n,
            int useA) {
        int rAt = at.get(0);
        int dCoreAt = at.get(1);
        int vaAt = at.get(2);
        int dVbAt = at.get(3);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float sum = 0f;
            for (int j = 0; j < n; j++) {
                float x = dCore.get(dCoreAt + i * n + j) * r.get(rAt + i * n + j);
                sum += useA != 0 ? x * va.get(vaAt + j) : x;
            }
            dVb.set(dVbAt + i, dVb.get(dVbAt + i) + sum);
        }
    }

    /// GOFT's 2x2 rotations `(cos, -sin, sin, cos)` of `theta = pi tanh(phi)`.
    static void givensAngles(FloatArray phi, FloatArray g, IntArray at, int n) {
        int phiAt = at.get(0);
        int gAt = at.get(1);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float theta = 3.14159265f * TornadoMath.tanh(phi.get(phiAt + i));
            float c = TornadoMath.cos(theta);
            float s = TornadoMath.sin(theta);
            g.set(gAt + 4 * i, c);
            g.set(gAt + 4 * i + 1, -s);
            g.set(gAt + 4 * i + 2, s);
            g.set(gAt + 4 * i + 3, c);
        }
    }

    /// `dPhi += pi (1 - tanh(phi)^2) (-sin (dG00 + dG11) + cos (dG10 - dG01))`
    static void givensAnglesGrad(FloatArray phi, FloatArray dG, FloatArray dPhi, IntArray at, int n) {
        int phiAt = at.get(0);
        int dGAt = at.get(1);
        int dPhiAt = at.get(2);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float t = TornadoMath.tanh(phi.get(phiAt + i));
            float c = TornadoMath.cos(3.14159265f * t);
            float s = TornadoMath.sin(3.14159265f * t);
            int o = dGAt + 4 * i;
            float dTheta = c * (dG.get(o + 2) - dG.get(o + 1)) - s * (dG.get(o) + dG.get(o + 3));
            dPhi.set(dPhiAt + i, dPhi.get(dPhiAt + i) + dTheta * 3.14159265f * (1f - t * t));
        }
    }

    /// One stage of the sweep in place: in each row of x (N,d) the pairs `(2 s j, 2 s j + s)` become
    /// `(a g00 + c g10, a g01 + c g11)`; `first` is the stage's first pair in g.
    static void givensStage(FloatArray x, FloatArray g, IntArray at, int N, int d, int stride, int pairs, int first) {
        int xAt = at.get(0);
        int gAt = at.get(1);
        for (@Parallel int e = 0; e < N * pairs; e++) {
            int p = xAt + e / pairs * d + 2 * stride * (e % pairs);
            int o = gAt + 4 * (first + e % pairs);
            float a = x.get(p);
            float c = x.get(p + stride);
            x.set(p, a * g.get(o) + c * g.get(o + 2));
            x.set(p + stride, a * g.get(o + 1) + c * g.get(o + 3));
        }
    }

    /// [#givensStage] with the transposed 2x2 matrices: the input gradient, and the way back when they are rotations.
    static void givensStageBack(FloatArray x, FloatArray g, IntArray at, int N, int d, int stride, int pairs,
            int first) {
        int xAt = at.get(0);
        int gAt = at.get(1);
        for (@Parallel int e = 0; e < N * pairs; e++) {
            int p = xAt + e / pairs * d + 2 * stride * (e % pairs);
            int o = gAt + 4 * (first + e % pairs);
            float a = x.get(p);
            float c = x.get(p + stride);
            x.set(p, a * g.get(o) + c * g.get(o + 1));
            x.set(p + stride, a * g.get(o + 2) + c * g.get(o + 3));
        }
    }

    /// `dG00 = sum a u, dG01 = sum a w, dG10 = sum c u, dG11 = sum c w` over the rows, with (a,c) the stage's inputs in z and
    /// (u,w) the gradients of its outputs in dZ; one work item per number.
    static void givensStageGrad(FloatArray z, FloatArray dZ, FloatArray dG, IntArray at, int N, int d, int stride,
            int pairs, int first) {
        int dGAt = at.get(0);
        for (@Parallel int e = 0; e < 4 * pairs; e++) {
            int p = 2 * stride * (e >> 2);
            int from = p + (e >> 1 & 1) * stride;
            int into = p + (e & 1) * stride;
            float sum = 0f;
            for (int t = 0; t < N; t++)
                sum += z.get(t * d + from) * dZ.get(t * d + into);
            dG.set(dGAt + 4 * first + e, sum);
        }
    }

    /// Part s of `sum of e^2`, `e = g00 g01 + g10 g11`, over the pairs `s, s + parts, ...`.
    static void givensPenaltyParts(FloatArray g, FloatArray partial, IntArray at, int n, int parts) {
        int gAt = at.get(0);
        for (@Parallel int s = 0; s < (parts & ALL); s++) {
            float sum = 0f;
            for (int i = s; i < n; i += parts) {
                int o = gAt + 4 * i;
                float e = g.get(o) * g.get(o + 1) + g.get(o + 2) * g.get(o + 3);
                sum += e * e;
            }
            partial.set(s, sum);
        }
    }

    /// Adds `2 lambda e` times g01, g00, g11, g10 to dG.
    static void givensPenaltyGrad(FloatArray g, FloatArray dG, IntArray at, int n, float lambda) {
        int gAt = at.get(0);
        int dGAt = at.get(1);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            int o = gAt + 4 * i;
            int r = dGAt + 4 * i;
            float k = 2f * lambda * (g.get(o) * g.get(o + 1) + g.get(o + 2) * g.get(o + 3));
            dG.set(r, dG.get(r) + k * g.get(o + 1));
            dG.set(r + 1, dG.get(r + 1) + k * g.get(o));
            dG.set(r + 2, dG.get(r + 2) + k * g.get(o + 3));
            dG.set(r + 3, dG.get(r + 3) + k * g.get(o + 2));
        }
    }

    /// `loss = lambda sum of the parts`
    static void scaledSum(FloatArray partial, FloatArray loss, IntArray at, int parts, float lambda) {
        int lossAt = at.get(0);
        for (@Parallel int i = 0; i < 1; i++) {
            float sum = 0f;
            for (int s = 0; s < parts; s++)
                sum += partial.get(s);
            loss.set(lossAt, lambda * sum);
        }
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

    /// Modified Gram-Schmidt over the columns of p, in order, by one work item: column by column the parts along the
    /// earlier ones are taken away, then it is divided by its norm.
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
