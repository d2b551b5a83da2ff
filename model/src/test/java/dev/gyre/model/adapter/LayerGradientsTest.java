package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.adapter.MethodCases.Layer;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import java.util.List;
import java.util.Random;
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
            expect(l, "a parameter", s, program, store.params(), params, grads, y, cotangent);
            expect(l, "x", s, program, x, rows, gx, y, cotangent);
        }
    }

    private static void expect(Layer l, String what, RefBackend.RefSession s, Program program, Buf of, double[] at,
            double[] gradient, Buf y, double[] cotangent) {
        double top = 0;
        for (double g : gradient)
            top = Math.max(top, Math.abs(g));
        assertThat(top).as(l + ": gradient of " + what).isGreaterThan(1e-3);
        for (int i = 0; i < at.length; i++) {
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
        return layers().stream().filter(l -> l.options instanceof Qgoft).toList();
    }

    @Test
    void onlyQgoftHasAPenalty() {
        for (Layer l : layers()) {
            Buffers store = new Buffers(l, l.adapter.tensors());
            Emitter e = new Emitter("penalty", store, true);
            l.adapter.regularise(e, store);
            assertThat(e.build().ops().isEmpty()).as(l.name).isEqualTo(!(l.options instanceof Qgoft));
        }
    }

    /// The penalty of qGOFT, `lambda sum (g00 g01 + g10 g11)^2`, is added to the gradients once per update.
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
            double[] p = s.readDouble(store.params());
            double lambda = (float) ((Qgoft) l.options).penalty();
            for (int i = 0; i < p.length; i++) {
                double[] q = p.clone();
                q[i] += H;
                double up = penalty(q, lambda);
                q[i] -= 2 * H;
                assertThat(Math.abs((up - penalty(q, lambda)) / (2 * H) - grads[i]) <= 1e-9).as("element " + i)
                        .isTrue();
            }
        }
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
