package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Givens rotations in a binary tournament over the features (GOFT, qGOFT). Letters and conventions are those of [Op].
public sealed interface GivensOps extends Op {
    /// 2x2 rotations g (n,4) = (cos, -sin, sin, cos) of `theta = pi tanh(phi)`, phi (n) (strict GOFT).
    record GivensAngles(Buf phi, Buf g, int n) implements GivensOps {
        public GivensAngles {
            check(phi.size() == n && g.size() == 4L * n, "GivensAngles", phi, g);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(phi), write(g));
        }
    }

    /// Adds the gradient of [GivensAngles] to dPhi (n), given dG (n,4).
    record GivensAnglesGrad(Buf phi, Buf dG, Buf dPhi, int n) implements GivensOps {
        public GivensAnglesGrad {
            check(phi.size() == n && dG.size() == 4L * n && dPhi.size() == n, "GivensAnglesGrad", phi, dG, dPhi);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(phi), read(dG), update(dPhi));
        }
    }

    /// The Givens sweep of GOFT, `y = x G_L ... G_1`: x, y (N,d), g (d-1, 4) as (g00, g01, g10, g11) in the order of
    /// [Givens#stages]; the row vector meets the stage of the largest stride first.
    record GivensSweep(Buf x, Buf g, Buf y, int N, int d) implements GivensOps {
        public GivensSweep {
            check(x.size() == (long) N * d && y.size() == x.size() && g.size() == 4L * (d - 1), "GivensSweep", x, g, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(g), write(y));
        }

        @Override
        public long flops() {
            return 6L * N * (d - 1);
        }
    }

    /// Gradient of [GivensSweep]: dX (+)= dY through the transposed stages; dG (d-1,4) is overwritten. With
    /// `orthogonal` a backend may recover the stage inputs by turning back; otherwise they are recomputed from x row by
    /// row.
    record GivensSweepGrad(Buf x, Buf g, Buf dY, Buf dX, Buf dG, int N, int d, boolean orthogonal,
            boolean accumulate) implements GivensOps {
        public GivensSweepGrad {
            check(x.size() == (long) N * d && dY.size() == x.size() && dX.size() == x.size() && g.size() == 4L * (d - 1)
                    && dG.size() == g.size(), "GivensSweepGrad", x, g, dY, dX, dG);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(g), read(dY), into(dX, accumulate), write(dG));
        }

        @Override
        public long flops() {
            return 20L * N * (d - 1);
        }
    }

    /// Soft orthogonality of qGOFT: writes `loss[0] = lambda * sum over pairs of e^2`, `e = g00 g01 + g10 g11`, and
    /// adds its gradient to dG; g, dG (n,4), loss (1).
    record GivensPenalty(Buf g, Buf dG, Buf loss, int n, double lambda) implements GivensOps {
        public GivensPenalty {
            check(g.size() == 4L * n && dG.size() == g.size() && loss.size() == 1, "GivensPenalty", g, dG, loss);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(g), update(dG), write(loss));
        }
    }
}
