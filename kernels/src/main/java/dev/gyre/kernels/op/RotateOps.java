package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Block-diagonal rotations of rows (OFTv2, OFT v1). Letters and conventions are those of [Op].
public sealed interface RotateOps extends Op {
    /// Block rotation of rows, `y[t,i] (+)= x[t,i] R[i]` (OFTv2), or `x[t,i] R[i]^T` with `transpose` (its input
    /// gradient, and the merge of a weight): x, y (N,d), R (stored, b, b), d = blocks * b, and
    /// `stored` is `blocks` or 1 (one rotation shared by all blocks).
    record BlockRotate(Buf x, Buf r, Buf y, int N, int d, int b, int stored, boolean transpose,
            boolean accumulate) implements RotateOps {
        public BlockRotate {
            check(x.size() == (long) N * d && y.size() == x.size() && d % b == 0 && (stored == 1 || stored == d / b)
                    && r.size() == (long) stored * b * b, "BlockRotate", x, r, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(r), into(y, accumulate));
        }

        @Override
        public long flops() {
            return 2L * N * d * b;
        }
    }

    /// Gradient of [BlockRotate] for R: `dR[i] = sum over t of x[t,i]^T dY[t,i]`, summed over blocks when shared;
    /// x, dY (N,d), dR (stored, b, b).
    record BlockRotateGrad(Buf x, Buf dY, Buf dR, int N, int d, int b, int stored) implements RotateOps {
        public BlockRotateGrad {
            check(x.size() == (long) N * d && dY.size() == x.size() && d % b == 0 && (stored == 1 || stored == d / b)
                    && dR.size() == (long) stored * b * b, "BlockRotateGrad", x, dY, dR);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(dY), write(dR));
        }

        @Override
        public long flops() {
            return 2L * N * d * b;
        }
    }

    /// The dense matrix (d,d) with the blocks of r (stored, b, b) on its diagonal and zeros elsewhere; one stored block
    /// is repeated. OFT v1 multiplies by it.
    record BlockDiagonal(Buf r, Buf dense, int d, int b, int stored) implements RotateOps {
        public BlockDiagonal {
            check(dense.size() == (long) d * d && d % b == 0 && (stored == 1 || stored == d / b)
                    && r.size() == (long) stored * b * b, "BlockDiagonal", r, dense);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(r), write(dense));
        }
    }

    /// Gradient of [BlockDiagonal]: the diagonal blocks of dDense (d,d) into dR (stored, b, b), summed when shared.
    record BlockDiagonalGrad(Buf dDense, Buf dR, int d, int b, int stored) implements RotateOps {
        public BlockDiagonalGrad {
            check(dDense.size() == (long) d * d && d % b == 0 && (stored == 1 || stored == d / b)
                    && dR.size() == (long) stored * b * b, "BlockDiagonalGrad", dDense, dR);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(dDense), write(dR));
        }
    }
}
