package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Rotary position embedding. Letters and conventions are those of [Op].
public sealed interface RopeOps extends Op {
    /// Rotary position embedding in place, half-split pairs (j, j + D/2): x (N, heads*D); cos, sin (P, D/2);
    /// positions (N) I32 in `0..P-1`. `inverse` turns the other way, which is the gradient when cos and sin form
    /// rotations; with YaRN's attention factor in both tables it is still the transpose, hence still the gradient.
    record Rope(Buf x, Buf cos, Buf sin, Buf positions, int N, int heads, int D, boolean inverse) implements RopeOps {
        public Rope {
            check(x.size() == (long) N * heads * D && D % 2 == 0 && cos.size() == sin.size()
                    && cos.size() % (D / 2) == 0 && positions.size() == N && positions.dtype() == DType.I32, "Rope", x,
                    cos, sin, positions);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(x), read(cos), read(sin), read(positions));
        }

        @Override
        public long flops() {
            return 3L * N * heads * D;
        }
    }
}
