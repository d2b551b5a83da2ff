package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.SubspaceOps;
import org.jspecify.annotations.Nullable;

/// The core of PSOFT, `core = diag(vb) R diag(va) - I`.
final class SubspaceRef {
    private SubspaceRef() {
    }

    static void run(SubspaceOps op, Operands of) {
        switch (op) {
            case SubspaceOps.PsoftCore(var R, var va, var vb, var core, int r) ->
                    core(of.vec(R), of.optional(va), of.optional(vb), of.vec(core), r);
            case SubspaceOps.PsoftCoreGrad(var R, var va, var vb, var dCore, var dR, var dVa, var dVb, int r) ->
                    coreGrad(of.vec(R), of.optional(va), of.optional(vb), of.vec(dCore), of.vec(dR), of.optional(dVa),
                            of.optional(dVb), r);
        }
    }

    static void core(Vec R, @Nullable Vec va, @Nullable Vec vb, Vec core, int r) {
        for (int i = 0; i < r; i++)
            for (int j = 0; j < r; j++)
                core.set(i * r + j, one(vb, i) * R.get(i * r + j) * one(va, j) - (i == j ? 1 : 0));
    }

    /// `dR[i,j] = vb[i] dCore[i,j] va[j]`, `dVa[j] += sum_i dCore[i,j] vb[i] R[i,j]`,
    /// `dVb[i] += sum_j dCore[i,j] R[i,j] va[j]`.
    static void coreGrad(Vec R, @Nullable Vec va, @Nullable Vec vb, Vec dCore, Vec dR, @Nullable Vec dVa,
            @Nullable Vec dVb, int r) {
        for (int i = 0; i < r; i++)
            for (int j = 0; j < r; j++) {
                int k = i * r + j;
                dR.set(k, one(vb, i) * dCore.get(k) * one(va, j));
                if (dVa != null)
                    dVa.add(j, dCore.get(k) * one(vb, i) * R.get(k));
                if (dVb != null)
                    dVb.add(i, dCore.get(k) * R.get(k) * one(va, j));
            }
    }

    private static double one(@Nullable Vec v, int i) {
        return v == null ? 1 : v.get(i);
    }
}
