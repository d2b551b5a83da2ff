package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;
import static dev.gyre.kernels.op.Checks.opt;
import static dev.gyre.kernels.op.Checks.present;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// The core of PSOFT: a rotation between two scalings in a principal subspace. Letters and conventions are those of [Op].
public sealed interface SubspaceOps extends Op {
    /// PSOFT's core `core = diag(vb) R diag(va) - I` (r,r); va, vb (r) or null for ones.
    record PsoftCore(Buf R, @Nullable Buf va, @Nullable Buf vb, Buf core, int r) implements SubspaceOps {
        public PsoftCore {
            check(R.size() == (long) r * r && core.size() == R.size(), "PsoftCore", R, core);
        }

        @Override
        public List<Access> accesses() {
            return present(read(R), opt(va, false), opt(vb, false), write(core));
        }
    }

    /// Gradient of [PsoftCore]: writes `dR[i,j] = vb[i] dCore[i,j] va[j]`, adds to
    /// `dVa[j] += sum_i dCore[i,j] vb[i] R[i,j]` and `dVb[i] += sum_j dCore[i,j] R[i,j] va[j]` where those are given.
    record PsoftCoreGrad(Buf R, @Nullable Buf va, @Nullable Buf vb, Buf dCore, Buf dR, @Nullable Buf dVa,
            @Nullable Buf dVb, int r) implements SubspaceOps {
        public PsoftCoreGrad {
            check(R.size() == (long) r * r && dCore.size() == R.size() && dR.size() == R.size(), "PsoftCoreGrad", R,
                    dCore, dR);
        }

        @Override
        public List<Access> accesses() {
            return present(read(R), opt(va, false), opt(vb, false), read(dCore), write(dR), opt(dVa, true),
                    opt(dVb, true));
        }
    }
}
