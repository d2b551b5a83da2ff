package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Rotary position embedding. Letters and conventions are those of [Op].
public sealed interface RopeOps extends Op {
    /// Rotary position embedding in place of the first R values of each head, half-split pairs (j, j + R/2):
    /// x (N, heads*D); cos, sin (P, R/2); positions (N) I32 in `0..P-1`. `inverse` turns the other way, which is the gradient when cos and sin form
    /// rotations; with YaRN's attention factor in both tables it is still the transpose, hence still the gradient.
    record Rope(Buf x, Buf cos, Buf sin, Buf positions, int N, int heads, int D, int R, boolean inverse)
            implements RopeOps {
        /// Of whole heads.
        public Rope(Buf x, Buf cos, Buf sin, Buf positions, int N, int heads, int D, boolean inverse) {
            this(x, cos, sin, positions, N, heads, D, D, inverse);
        }

        public Rope {
            check(x.size() == (long) N * heads * D && R % 2 == 0 && R > 0 && R <= D && cos.size() == sin.size()
                    && cos.size() % (R / 2) == 0 && positions.size() == N && positions.dtype() == DType.I32, "Rope", x,
                    cos, sin, positions);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(x), read(cos), read(sin), read(positions));
        }

        @Override
        public long flops() {
            return 3L * N * heads * R;
        }
    }
}
