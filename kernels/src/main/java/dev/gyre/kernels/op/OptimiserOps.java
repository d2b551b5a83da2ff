package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// The optimiser: gradient norm and AdamW. Letters and conventions are those of [Op].
public sealed interface OptimiserOps extends Op {
    /// `norm[0] = ||grad||_2`, summed in double or by compensated partial sums.
    record GradNorm(Buf grad, Buf norm) implements OptimiserOps {
        public GradNorm {
            check(norm.size() == 1, "GradNorm", grad, norm);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(grad), write(norm));
        }

        @Override
        public long flops() {
            return 2 * grad.size();
        }
    }

    /// One AdamW step with decoupled weight decay, as PyTorch computes it:
    /// `p -= lr wd p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p -= lr/c1 * m / (sqrt(v/c2) + eps)`, where g is
    /// the gradient times the clip factor `min(1, maxNorm / (norm[0] + 1e-6))` (1 when maxNorm is 0).
    ///
    /// `hp` (8) F32: lr, beta1, beta2, eps, c1 = 1-beta1^t, c2 = 1-beta2^t, maxNorm, weight decay; the decay applies
    /// only with `decay`. Values that change from step to step are in a buffer because a device compiles constants into
    /// its code.
    record AdamW(Buf param, Buf grad, Buf m, Buf v, Buf hp, Buf norm, boolean decay) implements OptimiserOps {
        public static final int HP = 8;

        public AdamW {
            check(param.size() == grad.size() && param.size() == m.size() && param.size() == v.size() && hp.size() == HP
                    && norm.size() == 1, "AdamW", param, grad, m, v, hp, norm);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(param), read(grad), update(m), update(v), read(hp), read(norm));
        }

        @Override
        public long flops() {
            return 12 * param.size();
        }
    }
}
