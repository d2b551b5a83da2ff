package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Householder reflections (HRA). Letters and conventions are those of [Op].
public sealed interface ReflectOps extends Op {
    /// Unit vectors of HRA: u (r,d) rows from the columns of p (d,r), each divided by its norm; with `gramSchmidt` the
    /// columns are made orthonormal in order (modified Gram-Schmidt).
    record HouseholderVectors(Buf p, Buf u, int d, int r, boolean gramSchmidt) implements ReflectOps {
        public HouseholderVectors {
            check(p.size() == (long) d * r && u.size() == p.size(), "HouseholderVectors", p, u);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(p), write(u));
        }
    }

    /// Adds the gradient of [HouseholderVectors] to dP (d,r), given dU (r,d).
    record HouseholderVectorsGrad(Buf p, Buf u, Buf dU, Buf dP, int d, int r, boolean gramSchmidt)
            implements ReflectOps {
        public HouseholderVectorsGrad {
            check(p.size() == (long) d * r && u.size() == p.size() && dU.size() == p.size() && dP.size() == p.size(),
                    "HouseholderVectorsGrad", p, u, dU, dP);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(p), read(u), read(dU), update(dP));
        }
    }

    /// Reflections `x <- x - 2 (x.u_i) u_i` of each row for i = r-1 down to 0: x, y (N,d), u (r,d).
    record Householder(Buf x, Buf u, Buf y, int N, int d, int r) implements ReflectOps {
        public Householder {
            check(x.size() == (long) N * d && y.size() == x.size() && u.size() == (long) r * d, "Householder", x, u, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(u), write(y));
        }

        @Override
        public long flops() {
            return 4L * N * d * r;
        }
    }

    /// Gradient of [Householder]: dX (+)= ..., dU (r,d) overwritten; inputs of each reflection are recomputed from x.
    record HouseholderGrad(Buf x, Buf u, Buf dY, Buf dX, Buf dU, int N, int d, int r, boolean accumulate)
            implements ReflectOps {
        public HouseholderGrad {
            check(x.size() == (long) N * d && dY.size() == x.size() && dX.size() == x.size()
                    && u.size() == (long) r * d && dU.size() == u.size(), "HouseholderGrad", x, u, dY, dX, dU);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(u), read(dY), into(dX, accumulate), write(dU));
        }

        @Override
        public long flops() {
            return 12L * N * d * r;
        }
    }
}
