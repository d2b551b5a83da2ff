package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.TokenOps;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Finds the products of the output head that need not be computed for every row. Cross entropy does not look at the
/// logits of a row without a label, and its gradient is zero there, so neither the product that makes the logits nor the
/// one that takes their gradient to the head's input has to deal with such rows; where half of the tokens are prompts,
/// that is half of the head. Which rows those are is known when the program runs.
final class LabelledRows {
    private LabelledRows() {
    }

    /// The labels of the rows of product `i`, if only rows with a label matter; else null.
    ///
    /// @param end operation after the products that add to its result, which are computed with it
    static @Nullable Buf of(List<Op> ops, int i, int end) {
        ProductOps.MatMul op = (ProductOps.MatMul) ops.get(i);
        for (int j = i; j < end; j++)
            if (((ProductOps.MatMul) ops.get(j)).form() == Form.TN)
                return null;
        Buf after = labelsAfter(ops, op, end);
        return after != null ? after : labelsBefore(ops, op, i);
    }

    /// Logits: from the product to cross entropy there are only operations on single elements, and nothing else reads
    /// them without the gradient in their place.
    private static @Nullable Buf labelsAfter(List<Op> ops, ProductOps.MatMul op, int end) {
        Buf at = op.c();
        if (op.accumulate() || !alone(at))
            return null;
        for (int j = end; j < ops.size(); j++) {
            Op next = ops.get(j);
            if (!touches(next, at) || next instanceof ElementOps.Scale s && s.x() == at && s.y() == at)
                continue;
            if (next instanceof ActivationOps.Activate a && a.x() == at && alone(a.y())
                    && unread(ops, j + 1, at, a.y())) {
                at = a.y();
                continue;
            }
            return next instanceof TokenOps.CrossEntropy x && x.logits() == at && x.N() == op.M() && x.V() == op.N()
                    && (x.gradient() || unread(ops, j + 1, at, null)) ? x.labels() : null;
        }
        return null;
    }

    /// Whether the buffer has its storage to itself and does not outlive the program.
    private static boolean alone(Buf b) {
        return !b.isView() && b.role() == Buf.Role.ACTIVATION;
    }

    /// Whether no operation from j on reads x other than to take a gradient through the activation function whose input
    /// it was.
    private static boolean unread(List<Op> ops, int j, Buf x, @Nullable Buf y) {
        return x == y || ops.subList(j, ops.size()).stream().noneMatch(
                o -> touches(o, x) && !(o instanceof ActivationOps.ActivateGrad g && g.x() == x && g.dY() == y));
    }

    /// The gradient of logits: from cross entropy to the product there are only operations on single elements that leave
    /// zeros as they are.
    private static @Nullable Buf labelsBefore(List<Op> ops, ProductOps.MatMul op, int i) {
        Buf at = op.a();
        for (int j = i - 1; j >= 0; j--) {
            Op before = ops.get(j);
            if (!writes(before, at) || before instanceof ElementOps.Scale s && s.x() == at && s.y() == at
                    || before instanceof ActivationOps.ActivateGrad g && g.dY() == at && g.dX() == at)
                continue;
            return before instanceof TokenOps.CrossEntropy x && x.logits() == at && x.gradient() && x.N() == op.M()
                    && x.V() == op.K() ? x.labels() : null;
        }
        return null;
    }

    private static boolean touches(Op op, Buf b) {
        return op.accesses().stream().anyMatch(a -> a.buf().root() == b.root());
    }

    private static boolean writes(Op op, Buf b) {
        return op.accesses().stream().filter(Access::writes).anyMatch(a -> a.buf().root() == b.root());
    }
}
