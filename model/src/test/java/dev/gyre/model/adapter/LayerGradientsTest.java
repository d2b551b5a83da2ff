package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.adapter.MethodCases.Layer;
import dev.gyre.model.adapter.adalora.AdaLora;
import dev.gyre.model.adapter.dora.Dora;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every parameter of every method, and the input, of a whole adapted layer: its gradient against central differences of
/// the loss `sum(gy * y)`, in double.
class LayerGradientsTest {
    private static final int N = 5;
    private static final double H = 1e-5;
    /// Of the largest gradient: truncation H^2 = 1e-10 and cancellation 1e-16 / H = 1e-11, times derivatives of modest size.
    private static final double TOLERANCE = 1e-7;

    static List<Layer> layers() {
        return MethodCases.all().stream().map(l -> l.disturbed(0.15)).toList();
    }

    static List<Layer> embeddings() {
        return MethodCases.embeddings().stream().map(l -> l.disturbed(0.15)).toList();
    }

    @ParameterizedTest
    @MethodSource("layers")
    void gradientsOfALayerAreDifferencesOfItsLoss(Layer l) {
        int in = l.site.in();
        Buffers store = new Buffers(l, l.adapter.tensors());
        Buf x = Buf.input("x", DType.F32, N, in);
        Buf gy = Buf.input("gy", DType.F32, N, MethodCases.OUT);
        Buf y = Buf.output("y", N, MethodCases.OUT);
        Buf dX = Buf.output("dX", N, in);
        Emitter e = new Emitter("layer", store, true);
        AdaptedLinear layer = new AdaptedLinear(store, "layer", in, MethodCases.OUT, true, List.of(l.adapter));
        layer.forward(e, x, y, N);
        layer.backward(e, x, gy, dX, false, N);
        check(l, store, e.build(), x, gy, y, dX);
    }

    @ParameterizedTest
    @MethodSource("embeddings")
    void gradientsOfAnEmbeddingAreDifferencesOfItsLoss(Layer l) {
        int in = l.site.in();
        Buffers store = new Buffers(l, l.adapter.tensors());
        Buf x = Buf.input("x", DType.F32, N, in);
        Buf gy = Buf.input("gy", DType.F32, N, in);
        Buf y = Buf.output("y", N, in);
        Buf dX = Buf.output("dX", N, in);
        Emitter e = new Emitter("embedding", store, true);
        EmbeddingRotation r = l.adapter.onEmbedding(store);
        r.forward(e, x, y, N);
        r.backward(e, x, gy, dX, N);
        check(l, store, e.build(), x, gy, y, dX);
    }

    private static void check(Layer l, Buffers store, Program program, Buf x, Buf gy, Buf y, Buf dX) {
        Random random = new Random(11);
        double[] rows = widened(MethodCases.normal(random, x.length(), 1));
        double[] cotangent = widened(MethodCases.normal(random, gy.length(), 1));
        try (RefBackend.RefSession s = new RefBackend().open(List.of(program))) {
            store.fill(s, MemoryPlan.of(List.of(program)));
            s.writeDouble(x, rows);
            s.writeDouble(gy, cotangent);
            for (Buf b : MemoryPlan.of(List.of(program)).persistent())
                if (b == store.dropoutSeed())
                    s.write(b, new int[] {7});
            for (Buffers.BlockMask m : store.blockMasks()) {
                int[] flags = new int[m.flags().length()];
                for (int i = 0; i < flags.length; i += 2)
                    flags[i] = 1;
                s.write(m.flags(), flags);
            }
            s.run(program);
            double[] grads = s.readDouble(store.grads());
            double[] params = s.readDouble(store.params());
            double[] gx = s.readDouble(dX);
            assertThat(grads).hasSize(l.adapter.tensors().stream().mapToInt(Tensor::size).sum());
            if (l.options instanceof Dora)
                // the norm of DoRA moves with A and B but is a constant of the backward pass: only m has differences
                expect(l, "a magnitude", s, program, store.params(), params, grads,
                        store.offset(l.adapter.tensors().getLast()), y, cotangent);
            else
                expect(l, "a parameter", s, program, store.params(), params, grads, 0, y, cotangent);
            expect(l, "x", s, program, x, rows, gx, 0, y, cotangent);
        }
    }

    private static void expect(Layer l, String what, RefBackend.RefSession s, Program program, Buf of, double[] at,
            double[] gradient, int from, Buf y, double[] cotangent) {
        double top = 0;
        for (double g : gradient)
            top = Math.max(top, Math.abs(g));
        assertThat(top).as(l + ": gradient of " + what).isGreaterThan(1e-3);
        for (int i = from; i < at.length; i++) {
            double[] moved = at.clone();
            moved[i] = at[i] + H;
            double up = loss(s, program, of, moved, y, cotangent);
            moved[i] = at[i] - H;
            double difference = (up - loss(s, program, of, moved, y, cotangent)) / (2 * H);
            if (!(Math.abs(difference - gradient[i]) <= TOLERANCE * top))
                throw new AssertionError(l + ": gradient " + i + " of " + what + " is " + gradient[i]
                        + ", the difference quotient " + difference + " (largest gradient " + top + ")");
        }
        s.writeDouble(of, at);
    }

    private static double loss(RefBackend.RefSession s, Program program, Buf of, double[] values, Buf y,
            double[] cotangent) {
        s.writeDouble(of, values);
        s.run(program);
        double[] out = s.readDouble(y);
        double sum = 0;
        for (int i = 0; i < out.length; i++)
            sum += out[i] * cotangent[i];
        return sum;
    }

    static List<Layer> penalised() {
        return layers().stream().filter(l -> penalty(l, new double[0]) != null).toList();
    }

    @Test
    void onlyQgoftAndAdaloraHaveAPenalty() {
        for (Layer l : layers()) {
            Buffers store = new Buffers(l, l.adapter.tensors());
            Emitter e = new Emitter("penalty", store, true);
            l.adapter.regularise(e, store);
            assertThat(e.build().ops().isEmpty()).as(l.name).isEqualTo(penalty(l, new double[0]) == null);
        }
    }

    /// A penalty is added to the gradients once per update.
    @ParameterizedTest
    @MethodSource("penalised")
    void theGradientOfThePenaltyIsItsDifference(Layer l) {
        Buffers store = new Buffers(l, l.adapter.tensors());
        Emitter e = new Emitter("penalty", store, true);
        l.adapter.regularise(e, store);
        Program program = e.build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(program))) {
            store.fill(s, MemoryPlan.of(List.of(program)));
            s.run(program);
            double[] grads = s.readDouble(store.grads());
            double[] p = widened(params(l));
            for (int i = 0; i < p.length; i++) {
                double[] q = p.clone();
                q[i] += H;
                double up = Objects.requireNonNull(penalty(l, q));
                q[i] -= 2 * H;
                double difference = (up - Objects.requireNonNull(penalty(l, q))) / (2 * H);
                assertThat(Math.abs(difference - grads[i]) <= 1e-8)
                        .as("element " + i + ": " + grads[i] + ", difference "
                                + difference)
                        .isTrue();
            }
        }
    }

    private static float[] params(Layer l) {
        float[] all = new float[0];
        for (Tensor t : l.adapter.tensors()) {
            int at = all.length;
            all = Arrays.copyOf(all, at + t.size());
            System.arraycopy(t.values(), 0, all, at, t.size());
        }
        return all;
    }

    /// qGOFT: `lambda sum (g00 g01 + g10 g11)^2`. AdaLoRA: `weight / 2 (||A A^T - I|| + ||B^T B - I||)` for one module.
    ///
    /// @param p all parameters; empty to ask whether there is a penalty
    /// @return null for methods without
    private static @Nullable Double penalty(Layer l, double[] p) {
        if (l.options instanceof Qgoft q)
            return penalty(p, (float) q.penalty());
        if (!(l.options instanceof AdaLora a) || a.orthogonality() == 0)
            return null;
        if (p.length == 0)
            return 0.0;
        int r = a.initR();
        int in = l.site.in();
        return a.orthogonality() / 2 * (gram(p, r, in, in, 1) + gram(p, r, MethodCases.OUT, 1, r, r * in));
    }

    private static double gram(double[] p, int r, int n, int row, int column) {
        return gram(p, r, n, row, column, 0);
    }

    /// `||M M^T - I||` for M (r, n), element (i, j) at `from + i row + j column`.
    private static double gram(double[] p, int r, int n, int row, int column, int from) {
        double square = 0;
        for (int i = 0; i < r; i++)
            for (int k = 0; k < r; k++) {
                double s = i == k ? -1 : 0;
                for (int j = 0; j < n; j++)
                    s += p[from + i * row + j * column] * p[from + k * row + j * column];
                square += s * s;
            }
        return Math.sqrt(square);
    }

    private static double penalty(double[] g, double lambda) {
        double sum = 0;
        for (int i = 0; i < g.length; i += 4)
            sum += Math.pow(g[i] * g[i + 1] + g[i + 2] * g[i + 3], 2);
        return lambda * sum;
    }

    private static double[] widened(float[] a) {
        double[] d = new double[a.length];
        for (int i = 0; i < a.length; i++)
            d[i] = a[i];
        return d;
    }
}
