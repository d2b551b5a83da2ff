package dev.gyre.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Activation;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps.MatMul;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.TokenOps;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LabelledRowsTest {
    private static final int N = 61;
    private static final int C = 45;
    private static final int V = 83;

    /// Which rows have a label.
    enum Pattern {
        ALL(i -> true), NONE(i -> false), LAST_HALF(i -> i >= N / 2), EVERY_THIRD(i -> i % 3 == 1),
        RUNS(i -> i / 14 % 2 == 1), ONE(i -> i == 40);

        private final IntPredicate has;

        Pattern(IntPredicate has) {
            this.has = has;
        }
    }

    /// A head: logits, low-rank term, loss, gradient of its input. With logits in a buffer that outlives the program,
    /// every row is computed.
    private static final class Head {
        final Buf x = Buf.input("x", DType.F32, N, C);
        final Buf u = Buf.input("u", DType.F32, N, 3);
        final Buf w = Buf.weight("w", DType.F32, V, C);
        final Buf b = Buf.weight("b", DType.F32, V, 3);
        final Buf labels = Buf.input("labels", DType.I32, N);
        final Buf scale = Buf.input("scale", DType.F32, 1);
        final Buf loss = Buf.output("loss", N);
        final Buf dX = Buf.output("d x", N, C);
        final Buf dU = Buf.state("d u", N, 3);
        final Buf z;
        final List<Op> ops = new ArrayList<>();
        final List<Program> programs;

        Head(boolean every, boolean capped, boolean training) {
            z = every ? Buf.output("logits", N, V) : Buf.activation("logits", N, V);
            ops.add(new MatMul(Form.NT, x, w, z, N, V, C, 0.5, false));
            ops.add(new MatMul(Form.NT, u, b, z, N, V, 3, 2, true));
            Buf y = z;
            if (capped) {
                y = every ? Buf.output("capped", N, V) : Buf.activation("capped", N, V);
                ops.add(new ElementOps.Scale(0.25, z, z));
                ops.add(new ActivationOps.Activate(Activation.TANH, z, y));
                ops.add(new ElementOps.Scale(4, y, y));
            }
            ops.add(new TokenOps.CrossEntropy(y, labels, loss, scale, N, V, training));
            Program first = program("forward", ops);
            List<Op> back = new ArrayList<>();
            if (training && capped)
                back.add(new ActivationOps.ActivateGrad(Activation.TANH, z, y, y));
            if (training) {
                back.add(new MatMul(Form.NN, y, w, dX, N, C, V, 1.5, false));
                back.add(new MatMul(Form.NN, y, b, dU, N, 3, V, 1, true));
            }
            ops.addAll(back);
            programs = every && training ? List.of(first, program("backward", back)) : List.of(program("head", ops));
        }

        private static Program program(String name, List<Op> ops) {
            Program.Builder p = Program.builder(name);
            ops.forEach(p::add);
            return p.build();
        }

        List<float[]> run(CpuBackend on, Pattern p, int times) {
            Random random = new Random(3);
            int[] of = new int[N];
            for (int i = 0; i < N; i++) {
                int label = random.nextInt(V);
                of[i] = p.has.test(i) ? label : TokenOps.CrossEntropy.IGNORE;
            }
            try (Session s = on.open(programs)) {
                s.bind(w, new HostData.F32(numbers(random, V * C)));
                s.bind(b, new HostData.F32(numbers(random, V * 3)));
                s.write(x, numbers(random, N * C));
                s.write(u, numbers(random, N * 3));
                s.write(labels, of);
                s.write(scale, new float[] {1f / N});
                for (int i = 0; i < times; i++)
                    programs.forEach(s::run);
                List<float[]> out = new ArrayList<>(List.of(s.read(loss)));
                if (programs.size() == 2 || ops.getLast() instanceof MatMul)
                    out.addAll(List.of(s.read(dX), s.read(dU)));
                return out;
            }
        }

        private static float[] numbers(Random random, int n) {
            float[] v = new float[n];
            for (int i = 0; i < n; i++)
                v[i] = random.nextFloat() - 0.5f;
            return v;
        }
    }

    /// The same bits on any number of threads; the numbers are those of products of all rows, which may be summed in
    /// another order.
    @ParameterizedTest
    @EnumSource(Pattern.class)
    void lossAndGradientsAreThoseOfAllRows(Pattern p) {
        for (SimdChoice simd : new SimdChoice[] {SimdChoice.VECTOR, SimdChoice.SCALAR})
            for (boolean capped : new boolean[] {false, true})
                for (boolean training : new boolean[] {true, false}) {
                    String what = p + ", " + simd + ", capped " + capped + ", training " + training;
                    List<float[]> whole = new Head(true, capped, training).run(new CpuBackend(1, simd), p, 2);
                    List<float[]> first = new Head(false, capped, training).run(new CpuBackend(1, simd), p, 2);
                    assertThat(first).as(what).hasSameSizeAs(whole);
                    for (int i = 0; i < whole.size(); i++)
                        assertThat(first.get(i)).as("%s, result %d", what, i).hasSizeGreaterThan(N - 1)
                                .containsExactly(whole.get(i), within(2e-6f));
                    for (int i = 0; i < N; i++)
                        if (!p.has.test(i))
                            for (int j = 0; training && j < C; j++)
                                assertThat(first.get(1)[i * C + j]).as("%s, row %d", what, i).isZero();
                    for (int threads = 1; threads <= 3; threads++)
                        assertThat(new Head(false, capped, training).run(new CpuBackend(threads, simd), p, 2))
                                .usingElementComparator(Arrays::compare).as("%s, %d threads", what, threads)
                                .isEqualTo(first);
                }
    }

    private static List<Boolean> limited(Head h) {
        List<Boolean> out = new ArrayList<>();
        for (int i = 0; i < h.ops.size(); i++)
            if (h.ops.get(i) instanceof MatMul m && !(m.form() == Form.NT && m.accumulate()))
                out.add(LabelledRows.of(h.ops, i, m.form() == Form.NT ? i + 2 : i + 1) == h.labels);
        return out;
    }

    @Test
    void productsOfTheHeadTakeRowsWithLabelsOnly() {
        assertThat(limited(new Head(false, false, true))).containsExactly(true, true, true);
        assertThat(limited(new Head(false, true, true))).containsExactly(true, true, true);
        assertThat(limited(new Head(false, false, false))).containsExactly(true);
        assertThat(limited(new Head(false, true, false))).containsExactly(true);
    }

    @Test
    void allRowsAreComputedWhereSomethingElseReadsThem() {
        assertThat(limited(new Head(true, false, false))).as("logits are an output").containsExactly(false);
        Head h = new Head(false, false, false);
        Buf copy = Buf.output("copy", N, V);
        h.ops.add(2, new ElementOps.Copy(h.z, copy));
        assertThat(limited(h)).as("read before the loss").containsExactly(false);
        h = new Head(false, false, false);
        h.ops.add(new ElementOps.Copy(h.z, copy));
        assertThat(limited(h)).as("read after the loss, which leaves logits").containsExactly(false);
        h = new Head(false, false, true);
        h.ops.add(3, new ElementOps.Add(h.z, h.z, h.z));
        assertThat(limited(h)).as("written between the loss and the product").containsExactly(true, false, false);
        List<Op> weight = new ArrayList<>(new Head(false, false, true).ops.subList(0, 3));
        Buf z = ((MatMul) weight.getFirst()).c();
        Buf x = ((MatMul) weight.getFirst()).a();
        weight.add(new MatMul(Form.TN, z, x, Buf.grad("d w", V, C), V, C, N, 1, true));
        assertThat(LabelledRows.of(weight, 3, 4)).as("a sum over the rows").isNull();
    }
}
