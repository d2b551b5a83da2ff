package dev.gyre.kernels.check;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.OpCase.Layout;
import dev.gyre.kernels.check.OpCase.Operand;
import dev.gyre.kernels.check.OpCase.Setup;
import dev.gyre.kernels.ref.RefBackend;
import java.util.ArrayList;
import java.util.List;

/// Runs a case on a backend and on [RefBackend] and compares: values must be within tolerance (NaN never is), guard words
/// and inputs unchanged bit for bit, and the results of a second run equal those of the first bit for bit.
public final class OpCheck {
    private OpCheck() {
    }

    /// The largest error of a result relative to its tolerance: the difference from the reference and the tolerance there.
    public record Deviation(double difference, double allowed) {
        static final Deviation NONE = new Deviation(0, 0);

        /// The difference as a fraction of the tolerance; 0 if there is no difference.
        public double share() {
            return difference == 0 ? 0 : difference / allowed;
        }

        Deviation orWorse(Deviation other) {
            return other.share() > share() ? other : this;
        }
    }

    /// Checks the case as views and as activations; cases with empty operands only as views.
    ///
    /// @return the largest error as a fraction of the tolerance
    /// @throws AssertionError naming case, output, index and both values
    public static double check(Backend backend, OpCase c) {
        double worst = check(backend, c, Layout.GUARDED);
        boolean empty = c.setup(Layout.GUARDED).operands().stream().anyMatch(o -> o.size() == 0);
        return empty ? worst : Math.max(worst, check(backend, c, Layout.ARENA));
    }

    public static double check(Backend backend, OpCase c, Layout layout) {
        return deviation(backend, c, layout).share();
    }

    /// @throws AssertionError as [#check]
    public static Deviation deviation(Backend backend, OpCase c, Layout layout) {
        String where = c.name() + " (" + layout + ") on " + backend.name();
        Setup expected = c.setup(layout, backend.activationPrecision());
        List<double[]> reference = reference(expected);
        Setup setup = c.setup(layout, backend.activationPrecision());
        List<float[]> first;
        List<float[]> second;
        Program program = setup.program(c.name());
        try (Session session = backend.open(List.of(program))) {
            setup.weights().forEach(session::bind);
            first = run(session, program, setup);
            second = run(session, program, setup);
        } catch (RuntimeException e) {
            throw new AssertionError(where + " threw " + e, e);
        }
        Deviation worst = Deviation.NONE;
        List<Operand> operands = setup.operands(backend);
        for (int k = 0; k < first.size(); k++) {
            Operand o = operands.get(k);
            worst = worst.orWorse(compare(where + ", " + o.name(), o, first.get(k), reference.get(k)));
            sameBits(where + ", " + o.name() + ": second run differs from the first", first.get(k), second.get(k));
        }
        return worst;
    }

    static List<double[]> reference(Setup setup) {
        Program program = setup.program("reference");
        try (RefBackend.RefSession session = new RefBackend().open(List.of(program))) {
            setup.weights().forEach(session::bind);
            write(session, setup);
            session.run(program);
            List<double[]> out = new ArrayList<>();
            for (Operand o : setup.operands())
                out.add(session.readDouble(o.result()));
            return out;
        }
    }

    static void write(Session session, Setup setup) {
        setup.intInputs().forEach((buf, values) -> session.write(buf, values));
        for (Operand o : setup.operands())
            session.write(o.host(), o.initial());
    }

    static List<float[]> run(Session session, Program program, Setup setup) {
        write(session, setup);
        session.run(program);
        List<float[]> out = new ArrayList<>();
        for (Operand o : setup.operands())
            out.add(session.read(o.result()));
        return out;
    }

    static Deviation compare(String where, Operand o, float[] got, double[] reference) {
        for (int i = 0; i < got.length; i++)
            if ((i < o.from() || i >= o.from() + o.size()) && !same(got[i], o.initial()[i]))
                throw new AssertionError(where + ": guard word " + (i - o.from()) + " of 0.." + (o.size() - 1)
                        + " was overwritten with " + got[i]);
        if (o.tol() == null) {
            sameBits(where + ": input changed", o.initial(), got);
            return Deviation.NONE;
        }
        double max = 0;
        for (int i = o.from(); i < o.from() + o.size(); i++)
            max = Math.max(max, Math.abs(reference[i]));
        double allowed = o.tol().allowed(max);
        int worst = -1;
        double worstDiff = 0;
        for (int i = o.from(); i < o.from() + o.size(); i++) {
            double diff = Math.abs(got[i] - reference[i]);
            if (!(diff <= worstDiff)) {
                worst = i;
                worstDiff = diff;
                if (Double.isNaN(diff))
                    break;
            }
        }
        if (worst >= 0 && !(worstDiff <= allowed))
            throw new AssertionError(String.format(
                    "%s[%d] = %s, reference %s: differs by %.3g, allowed %.3g (%s, max|reference| %.3g)", where,
                    worst - o.from(), got[worst], reference[worst], worstDiff, allowed, o.tol(), max));
        return new Deviation(worstDiff, allowed);
    }

    private static void sameBits(String what, float[] a, float[] b) {
        for (int i = 0; i < a.length; i++)
            if (!same(a[i], b[i]))
                throw new AssertionError(what + " at element " + i + " of the buffer: " + a[i] + " and " + b[i]);
    }

    private static boolean same(float a, float b) {
        return Float.floatToRawIntBits(a) == Float.floatToRawIntBits(b);
    }
}
