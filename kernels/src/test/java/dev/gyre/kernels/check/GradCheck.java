package dev.gyre.kernels.check;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.check.OpCase.Gradient;
import dev.gyre.kernels.check.OpCase.Operand;
import dev.gyre.kernels.check.OpCase.Setup;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.ref.RefBackend;
import java.util.List;
import java.util.Map;

/// Compares the gradients of a case with central finite differences in double, both on [RefBackend]: the loss is
/// `sum(cotangent * result)` with random cotangents, each element of each variable is moved by +-h.
public final class GradCheck {
    /// Truncation h^2 = 1e-10 and cancellation 1e-16/h = 1e-11, times derivatives and sums of modest size.
    private static final double H = 1e-5;
    private static final double TOLERANCE = 2e-7;

    private GradCheck() {
    }

    /// @throws AssertionError naming case, variable, index and both values
    public static void check(OpCase c) {
        Setup s = c.setup(OpCase.Layout.GRADIENT);
        if (s.gradients().isEmpty())
            throw new AssertionError(c.name() + " declares no gradient");
        Program loss = s.program(c.name());
        Program gradient = s.gradientProgram(c.name() + " and its gradient");
        try (RefBackend.RefSession session = new RefBackend().open(List.of(loss, gradient))) {
            s.intInputs().forEach(session::write);
            for (Operand o : s.operands())
                session.write(o.host(), o.initial());
            // last: the gradient may lie in an operand
            for (Gradient d : s.gradients())
                session.write(d.got(), d.before());
            session.run(gradient);
            List<double[]> got = s.gradients().stream().map(d -> session.readDouble(d.got())).toList();
            for (int i = 0; i < got.size(); i++)
                compare(c, s, s.gradients().get(i), got.get(i), session, loss);
        }
    }

    private static void compare(OpCase c, Setup s, Gradient d, double[] got, RefBackend.RefSession session,
            Program loss) {
        double[] at = session.readDouble(d.variable());
        double[] expected = new double[at.length];
        double max = 0;
        for (int i = 0; i < at.length; i++) {
            expected[i] = (loss(session, loss, s, d.variable(), moved(at, i, H))
                    - loss(session, loss, s, d.variable(), moved(at, i, -H))) / (2 * H);
            max = Math.max(max, Math.abs(expected[i]));
        }
        session.writeDouble(d.variable(), at);
        for (int i = 0; i < at.length; i++) {
            double value = got[i] - (d.accumulate() ? d.before()[i] : 0);
            if (!(Math.abs(value - expected[i]) <= TOLERANCE * (1 + max)))
                throw new AssertionError(c.name() + ": " + d.got().name() + "[" + i + "] = " + value
                        + ", finite difference " + expected[i] + " (max " + max + ")");
        }
    }

    private static double loss(RefBackend.RefSession session, Program program, Setup s, Buf variable, double[] at) {
        session.writeDouble(variable, at);
        session.run(program);
        double sum = 0;
        for (Map.Entry<Buf, float[]> e : s.cotangents().entrySet()) {
            double[] result = session.readDouble(e.getKey());
            for (int i = 0; i < result.length; i++)
                sum += result[i] * e.getValue()[i];
        }
        return sum;
    }

    private static double[] moved(double[] at, int i, double by) {
        double[] a = at.clone();
        a[i] += by;
        return a;
    }
}
