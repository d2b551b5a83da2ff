package dev.gyre.kernels.check;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.ref.RefBackend;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/// Compares gradient operations with central finite differences in double, both on [RefBackend]: the loss is
/// `sum(cotangent * result)` with random cotangents, each element of each variable is moved by +-h.
public final class GradCheck {
    /// Truncation h^2 = 1e-10 and cancellation 1e-16/h = 1e-11, times derivatives and sums of modest size.
    private static final double H = 1e-5;
    private static final double TOLERANCE = 2e-7;

    private GradCheck() {
    }

    /// A forward program with its gradient program.
    public record Case(String name, Recipe recipe) {
        @Override
        public String toString() {
            return name;
        }
    }

    /// Declares variables, results, cotangents and gradients, and the operations of both directions.
    @FunctionalInterface
    public interface Recipe {
        void emit(Tape g);
    }

    private record Gradient(Buf of, Buf got, boolean adds) {
    }

    /// What a recipe writes to. Every buffer keeps its numbers between runs.
    public static final class Tape {
        private final Random random;
        private final Map<Buf, double[]> values = new LinkedHashMap<>();
        private final Map<Buf, int[]> ints = new LinkedHashMap<>();
        private final Map<Buf, double[]> cotangents = new LinkedHashMap<>();
        private final List<Gradient> gradients = new ArrayList<>();
        private final List<Op> forward = new ArrayList<>();
        private final List<Op> backward = new ArrayList<>();

        private Tape(Random random) {
            this.random = random;
        }

        /// A variable or constant of normal numbers.
        public Buf in(String name, double std, int... dims) {
            Buf b = Buf.state(name, dims);
            values.put(b, normal(std, b.length()));
            return b;
        }

        public Buf in(String name, double[] numbers, int... dims) {
            Buf b = Buf.state(name, dims);
            values.put(b, numbers);
            return b;
        }

        public Buf ints(String name, int... numbers) {
            Buf b = Buf.input(name, dev.gyre.kernels.op.DType.I32, numbers.length);
            ints.put(b, numbers);
            return b;
        }

        /// A buffer that an operation writes and that the loss does not see.
        public Buf scratch(String name, int... dims) {
            return Buf.state(name, dims);
        }

        /// A buffer that the forward operations write and that enters the loss.
        public Buf result(String name, int... dims) {
            Buf b = Buf.state(name, dims);
            cotangents.put(b, normal(1, b.length()));
            return b;
        }

        public Buf result(String name, double[] cotangent) {
            Buf b = Buf.state(name, cotangent.length);
            cotangents.put(b, cotangent);
            return b;
        }

        /// The gradient of the loss with respect to a result, an input of the backward operations.
        public Buf cotangent(Buf result) {
            return in("d " + result.name(), cotangents.get(result).clone(), result.dims());
        }

        /// Receives the gradient of a variable; with `adds` on top of random numbers, else over NaN.
        public Buf gradient(Buf variable, boolean adds) {
            Buf b = Buf.state("gradient of " + variable.name(), variable.dims());
            double[] before = normal(1, b.length());
            if (!adds)
                java.util.Arrays.fill(before, Double.NaN);
            values.put(b, before);
            gradients.add(new Gradient(variable, b, adds));
            return b;
        }

        public void forward(Op op) {
            forward.add(op);
        }

        public void backward(Op op) {
            backward.add(op);
        }

        public Random random() {
            return random;
        }

        private double[] normal(double std, int n) {
            double[] a = new double[n];
            for (int i = 0; i < n; i++)
                a[i] = std * random.nextGaussian();
            return a;
        }
    }

    /// @throws AssertionError naming case, variable, index and both values
    public static void check(Case c) {
        Tape g = new Tape(new Random(c.name().hashCode()));
        c.recipe().emit(g);
        if (g.gradients.isEmpty())
            throw new AssertionError(c + " declares no gradient");
        Program.Builder forward = Program.builder(c.name());
        Program.Builder both = Program.builder(c.name() + " and its gradient");
        g.forward.forEach(forward::add);
        g.forward.forEach(both::add);
        g.backward.forEach(both::add);
        Program loss = forward.build();
        Program gradient = both.build();
        try (RefBackend.RefSession session = new RefBackend().open(List.of(loss, gradient))) {
            g.values.forEach(session::writeDouble);
            g.ints.forEach((buf, numbers) -> session.write(buf, numbers));
            session.run(gradient);
            for (Gradient d : g.gradients)
                compare(c, g, d, session.readDouble(d.got()), session, loss);
        }
    }

    private static void compare(Case c, Tape g, Gradient d, double[] got, RefBackend.RefSession session,
            Program loss) {
        double[] at = g.values.get(d.of());
        double[] expected = new double[at.length];
        double max = 0;
        for (int i = 0; i < at.length; i++) {
            expected[i] = (loss(session, loss, g, d.of(), moved(at, i, H))
                    - loss(session, loss, g, d.of(), moved(at, i, -H))) / (2 * H);
            max = Math.max(max, Math.abs(expected[i]));
        }
        session.writeDouble(d.of(), at);
        for (int i = 0; i < at.length; i++) {
            double value = got[i] - (d.adds() ? g.values.get(d.got())[i] : 0);
            if (!(Math.abs(value - expected[i]) <= TOLERANCE * (1 + max)))
                throw new AssertionError(c + ": " + d.got().name() + "[" + i + "] = " + value
                        + ", finite difference " + expected[i] + " (max " + max + ")");
        }
    }

    private static double loss(RefBackend.RefSession session, Program program, Tape g, Buf variable, double[] at) {
        session.writeDouble(variable, at);
        session.run(program);
        double sum = 0;
        for (Map.Entry<Buf, double[]> e : g.cotangents.entrySet()) {
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
