package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Rotations from skew-symmetric parameters by Cayley maps, COFT's projection, dropout of blocks. Letters and conventions are those of [Op].
public sealed interface CayleyOps extends Op {
    /// Rotations R (blocks, b, b) from stored skew blocks v (blocks, m); see [Orthogonal].
    record Cayley(Orthogonal map, Buf v, Buf r, int blocks, int b) implements CayleyOps {
        public Cayley {
            check(v.size() == (long) blocks * map.stored(b) && r.size() == (long) blocks * b * b, "Cayley", v, r);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(v), write(r));
        }

        @Override
        public long flops() {
            return 6L * blocks * b * b * b;
        }
    }

    /// Adds the gradient of [Cayley] to dV (blocks, m), given dR (blocks, b, b).
    record CayleyGrad(Orthogonal map, Buf v, Buf dR, Buf dV, int blocks, int b) implements CayleyOps {
        public CayleyGrad {
            check(v.size() == (long) blocks * map.stored(b) && dV.size() == v.size()
                    && dR.size() == (long) blocks * b * b, "CayleyGrad", v, dR, dV);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(v), read(dR), update(dV));
        }

        @Override
        public long flops() {
            return 12L * blocks * b * b * b;
        }
    }

    /// COFT: scales each stored block of v (blocks, b(b-1)/2) in place to `||Q||_F <= limit`, where
    /// `||Q||_F^2 = 2 ||v||^2` and `limit = eps / sqrt(blocks)`, which PEFT evaluates in single precision.
    record CoftProject(Buf v, int blocks, int b, double limit) implements CayleyOps {
        public CoftProject {
            check(v.size() == (long) blocks * b * (b - 1) / 2, "CoftProject", v);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(v));
        }
    }

    /// Multiplicative dropout: where `mask[i] != 0`, block i of r (blocks, b, b) is replaced in place by the identity
    /// (`identity`) or by zero (its gradient). mask (blocks) I32.
    record MaskBlocks(Buf r, Buf mask, int blocks, int b, boolean identity) implements CayleyOps {
        public MaskBlocks {
            check(r.size() == (long) blocks * b * b && mask.size() == blocks && mask.dtype() == DType.I32, "MaskBlocks",
                    r, mask);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(r), read(mask));
        }
    }
}
