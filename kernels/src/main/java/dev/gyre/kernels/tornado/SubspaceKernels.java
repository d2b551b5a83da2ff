package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The core of PSOFT: a rotation R (n,n) between the scalings va and vb, each of which may be absent.
final class SubspaceKernels {
    private SubspaceKernels() {
    }

    /// PSOFT: `core = diag(vb) R diag(va) - I`.
    static void psoftCore(IntArray at, int slot, FloatArray r, FloatArray va, FloatArray vb, FloatArray core, int n,
            int useA, int useB) {
        int rAt = at.get(slot);
        int vaAt = at.get(slot + 1);
        int vbAt = at.get(slot + 2);
        int coreAt = at.get(slot + 3);
        for (@Parallel int e = 0; e < n * n; e++) {
            float x = r.get(rAt + e);
            x = useA != 0 ? x * va.get(vaAt + e % n) : x;
            x = useB != 0 ? x * vb.get(vbAt + e / n) : x;
            core.set(coreAt + e, x - (e / n == e % n ? 1f : 0f));
        }
    }

    /// `dR[i,j] = vb[i] dCore[i,j] va[j]`
    static void psoftRotationGrad(IntArray at, int slot, FloatArray dCore, FloatArray va, FloatArray vb, FloatArray dR,
            int n, int useA, int useB) {
        int dCoreAt = at.get(slot);
        int vaAt = at.get(slot + 1);
        int vbAt = at.get(slot + 2);
        int dRAt = at.get(slot + 3);
        for (@Parallel int e = 0; e < n * n; e++) {
            float x = dCore.get(dCoreAt + e);
            x = useA != 0 ? x * va.get(vaAt + e % n) : x;
            x = useB != 0 ? x * vb.get(vbAt + e / n) : x;
            dR.set(dRAt + e, x);
        }
    }

    /// `dVa[j] += sum over i of dCore[i,j] vb[i] R[i,j]`
    static void psoftColumnGrad(IntArray at, int slot, FloatArray r, FloatArray dCore, FloatArray vb, FloatArray dVa,
            int n, int useB) {
        int rAt = at.get(slot);
        int dCoreAt = at.get(slot + 1);
        int vbAt = at.get(slot + 2);
        int dVaAt = at.get(slot + 3);
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
    static void psoftRowGrad(IntArray at, int slot, FloatArray r, FloatArray dCore, FloatArray va, FloatArray dVb,
            int n, int useA) {
        int rAt = at.get(slot);
        int dCoreAt = at.get(slot + 1);
        int vaAt = at.get(slot + 2);
        int dVbAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float sum = 0f;
            for (int j = 0; j < n; j++) {
                float x = dCore.get(dCoreAt + i * n + j) * r.get(rAt + i * n + j);
                sum += useA != 0 ? x * va.get(vaAt + j) : x;
            }
            dVb.set(dVbAt + i, dVb.get(dVbAt + i) + sum);
        }
    }
}
