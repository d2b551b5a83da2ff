package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Givens rotations of the features (GOFT, qGOFT): the 2x2 matrices and the sweep, one kernel per stage.
final class GivensKernels {
    private GivensKernels() {
    }

    /// GOFT's 2x2 rotations `(cos, -sin, sin, cos)` of `theta = pi tanh(phi)`.
    static void givensAngles(IntArray at, int slot, FloatArray phi, FloatArray g, int n) {
        int phiAt = at.get(slot);
        int gAt = at.get(slot + 1);
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
    static void givensAnglesGrad(IntArray at, int slot, FloatArray phi, FloatArray dG, FloatArray dPhi, int n) {
        int phiAt = at.get(slot);
        int dGAt = at.get(slot + 1);
        int dPhiAt = at.get(slot + 2);
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
    static void givensStage(IntArray at, int slot, FloatArray g, FloatArray x, int N, int d, int stride, int pairs,
            int first) {
        int gAt = at.get(slot);
        int xAt = at.get(slot + 1);
        for (@Parallel int e = 0; e < N * pairs; e++) {
            int p = xAt + e / pairs * d + 2 * stride * (e % pairs);
            int o = gAt + 4 * (first + e % pairs);
            float a = x.get(p);
            float c = x.get(p + stride);
            x.set(p, a * g.get(o) + c * g.get(o + 2));
            x.set(p + stride, a * g.get(o + 1) + c * g.get(o + 3));
        }
    }

    /// [#givensStage] with the transposed 2x2 matrices: the input gradient, and the inverse if they are rotations.
    static void givensStageBack(IntArray at, int slot, FloatArray g, FloatArray x, int N, int d, int stride, int pairs,
            int first) {
        int gAt = at.get(slot);
        int xAt = at.get(slot + 1);
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
    /// (u,w) the gradients of its outputs in dZ; one work item per element of dG.
    static void givensStageGrad(IntArray at, int slot, FloatArray z, FloatArray dZ, FloatArray dG, int N, int d,
            int stride, int pairs, int first) {
        int zAt = at.get(slot);
        int dZAt = at.get(slot + 1);
        int dGAt = at.get(slot + 2);
        for (@Parallel int e = 0; e < 4 * pairs; e++) {
            int p = 2 * stride * (e >> 2);
            int from = p + (e >> 1 & 1) * stride;
            int into = p + (e & 1) * stride;
            float sum = 0f;
            for (int t = 0; t < N; t++)
                sum += z.get(zAt + t * d + from) * dZ.get(dZAt + t * d + into);
            dG.set(dGAt + 4 * first + e, sum);
        }
    }

    /// Part s of `sum of e^2`, `e = g00 g01 + g10 g11`, over the pairs `s, s + parts, ...`.
    static void givensPenaltyParts(IntArray at, int slot, FloatArray g, FloatArray partial, int n, int parts) {
        int gAt = at.get(slot);
        int partialAt = at.get(slot + 1);
        for (@Parallel int s = 0; s < (parts & ALL); s++) {
            float sum = 0f;
            for (int i = s; i < n; i += parts) {
                int o = gAt + 4 * i;
                float e = g.get(o) * g.get(o + 1) + g.get(o + 2) * g.get(o + 3);
                sum += e * e;
            }
            partial.set(partialAt + s, sum);
        }
    }

    /// Adds `2 lambda e` times g01, g00, g11, g10 to dG.
    static void givensPenaltyGrad(IntArray at, int slot, FloatArray g, FloatArray dG, int n, float lambda) {
        int gAt = at.get(slot);
        int dGAt = at.get(slot + 1);
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
    static void scaledSum(IntArray at, int slot, FloatArray partial, FloatArray loss, int parts, float lambda) {
        int partialAt = at.get(slot);
        int lossAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < 1; i++) {
            float sum = 0f;
            for (int s = 0; s < parts; s++)
                sum += partial.get(partialAt + s);
            loss.set(lossAt, lambda * sum);
        }
    }
}
