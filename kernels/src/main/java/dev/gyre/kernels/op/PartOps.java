package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.ArrayList;
import java.util.List;

/// Matrices side by side: the outputs of projections that a model keeps in one weight. Letters and conventions are those of
/// [Op].
public sealed interface PartOps extends Op {
    /// Cuts the columns of x (N, C) into `parts`, each (N, its share of C), in their order.
    record Split(Buf x, List<Buf> parts, int N) implements PartOps {
        public Split {
            parts = List.copyOf(parts);
            check(fits(x, parts, N), "Split", x);
        }

        @Override
        public List<Access> accesses() {
            List<Access> all = new ArrayList<>();
            all.add(read(x));
            parts.forEach(p -> all.add(write(p)));
            return all;
        }
    }

    /// Puts `parts`, each (N, its share of C), side by side into y (N, C): the gradient of [Split], and the reverse.
    record Join(List<Buf> parts, Buf y, int N) implements PartOps {
        public Join {
            parts = List.copyOf(parts);
            check(fits(y, parts, N), "Join", y);
        }

        @Override
        public List<Access> accesses() {
            List<Access> all = new ArrayList<>();
            parts.forEach(p -> all.add(read(p)));
            all.add(write(y));
            return all;
        }
    }

    private static boolean fits(Buf whole, List<Buf> parts, int N) {
        return parts.stream().mapToLong(Buf::size).sum() == whole.size()
                && parts.stream().allMatch(p -> p.size() % N == 0 && p.size() > 0);
    }
}
