package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Form;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.adapter.LayerCases.Layer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.transformer.Merge;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What must hold of a whole adapted layer of every method, in double: it starts as the base layer, its merged weight
/// gives its output, and unmerging gives the weight back.
class LayerIdentitiesTest {
    private static final int N = 6;

    static List<Layer> layers() {
        return LayerCases.all();
    }

    static List<Layer> multiplied() {
        return LayerCases.all().stream().filter(l -> !(l.spec instanceof LoraSpec || l.spec instanceof PsoftSpec))
                .toList();
    }

    private static double[] input(Layer l) {
        double[] x = new double[N * l.site.in()];
        Random random = new Random(5);
        Arrays.setAll(x, _ -> random.nextGaussian());
        return x;
    }

    private static double[] output(Layer l) {
        Buffers store = new Buffers(l, l.adapter.tensors());
        Buf x = Buf.input("x", DType.F32, N, l.site.in());
        Buf y = Buf.output("y", N, LayerCases.OUT);
        Emitter e = new Emitter("layer", store, false);
        new AdaptedLinear(store, "layer", l.site.in(), LayerCases.OUT, true, List.of(l.adapter)).forward(e, x, y, N);
        Program p = e.build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
            store.fill(s, MemoryPlan.of(List.of(p)));
            s.writeDouble(x, input(l));
            s.run(p);
            return s.readDouble(y);
        }
    }

    private static double[] plain(Layer l, float[] w) {
        int d = l.site.in();
        double[] x = input(l);
        double[] y = new double[N * LayerCases.OUT];
        for (int t = 0; t < N; t++)
            for (int o = 0; o < LayerCases.OUT; o++) {
                double s = l.bias[o];
                for (int k = 0; k < d; k++)
                    s += x[t * d + k] * w[o * d + k];
                y[t * LayerCases.OUT + o] = s;
            }
        return y;
    }

    private static void close(String what, double[] got, double[] expected, double tolerance) {
        double top = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        assertThat(got).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < got.length; i++)
            if (!(Math.abs(got[i] - expected[i]) <= tolerance * top))
                throw new AssertionError(what + "[" + i + "]: " + got[i] + ", expected " + expected[i]);
    }

    private static float[] merged(Layer l) {
        return Merge.matrix(new RefBackend(), new Buffers(l, l.adapter.tensors()), l.site, List.of(l.adapter));
    }

    private static double[] widened(float[] a) {
        double[] d = new double[a.length];
        Arrays.setAll(d, i -> a[i]);
        return d;
    }

    @ParameterizedTest
    @MethodSource("layers")
    void aFreshAdapterIsTheIdentity(Layer l) {
        if (l.spec instanceof HraSpec h && !h.initWeights())
            return; // drawn at random
        close(l.name, output(l), plain(l, l.weight), 1e-12);
    }

    @ParameterizedTest
    @MethodSource("layers")
    void theMergedWeightGivesTheOutput(Layer l) {
        l.disturbed(0.3);
        double[] y = output(l);
        close(l.name, plain(l, merged(l)), y, 5e-7);
        assertThat(Arrays.equals(y, plain(l, l.weight))).isFalse();
    }

    @ParameterizedTest
    @MethodSource("layers")
    void unmergingGivesTheWeightBack(Layer l) {
        l.disturbed(0.15);
        double[] w = widened(merged(l));
        double growth = l.adapter.unmerge(w, LayerCases.OUT, false, new RefBackend());
        assertThat(growth).isBetween(1.0, 50.0);
        close(l.name, w, widened(l.weight), 1e-6 * growth);
    }

    /// One number of each method put where its inverse would divide by nothing.
    @Test
    void unmergingRefusesToDivideByAlmostNothing() {
        Layer oft = LayerCases.layer("near rank loss",
                LayerCases.oft(Orthogonal.neumann(5), 2, false, OftSpec.Form.INPUT));
        oft.adapter.tensors().getFirst().values()[3] = 0.9999f; // one plane of Q at 1: R = 0 there
        Layer exact = LayerCases.layer("same, exact",
                LayerCases.oft(Orthogonal.of(Form.CAYLEY_MINUS, 0), 2, false, OftSpec.Form.INPUT));
        exact.adapter.tensors().getFirst().values()[3] = 0.9999f;
        Layer scaled = LayerCases.layer("zero factor", new GivensSpec(Targets.names("layer"), true, true, 0));
        scaled.adapter.tensors().getLast().values()[4] = 0;
        Layer pair = LayerCases.layer("singular pair", new GivensSpec(Targets.names("layer"), false, false, 0));
        Arrays.fill(pair.adapter.tensors().getFirst().values(), 8, 12, 0.5f);
        Layer boft = LayerCases.layer("zero output", new BoftSpec(Targets.names("layer"), 4, 0, 1, 0, true));
        boft.adapter.tensors().getLast().values()[7] = 0;
        for (Layer l : List.of(oft, scaled, pair, boft))
            assertThatThrownBy(() -> l.adapter.unmerge(widened(merged(l)), LayerCases.OUT, false, new RefBackend()))
                    .as(l.name).isInstanceOf(InputException.class)
                    .hasMessageContaining("layer: ").hasMessageContaining("take it from the base model");
        double[] w = widened(merged(exact));
        assertThat(exact.adapter.unmerge(w, LayerCases.OUT, false, new RefBackend())).isLessThan(1.001);
    }

    @ParameterizedTest
    @MethodSource("multiplied")
    void anOrthogonalMapKeepsTheLengthOfEveryRowOfTheWeight(Layer l) {
        boolean orthogonal = switch (l.spec) {
            case OftSpec o -> o.map().form() == Form.CAYLEY_MINUS || o.map().form() == Form.CAYLEY_PLUS
                    || o.map().form() == Form.NEWTON_SCHULZ;
            case GivensSpec g -> g.strict() && !g.scaler();
            case HraSpec _ -> true;
            case BoftSpec _,LoraSpec _,PsoftSpec _ -> false;
        };
        if (!orthogonal)
            return;
        l.disturbed(0.3);
        float[] w = merged(l);
        int d = l.site.in();
        for (int o = 0; o < LayerCases.OUT; o++) {
            double before = 0;
            double after = 0;
            for (int k = 0; k < d; k++) {
                before += (double) l.weight[o * d + k] * l.weight[o * d + k];
                after += (double) w[o * d + k] * w[o * d + k];
            }
            assertThat(Math.abs(after / before - 1) <= 3e-6).as(l.name + " row " + o + ": " + after / before).isTrue();
        }
    }

    @Test
    void aSharedBlockIsTheSameAsRepeatedBlocks() {
        Layer one = LayerCases.layer("w", LayerCases.oft(Orthogonal.neumann(5), 4, true, OftSpec.Form.INPUT))
                .disturbed(0.3);
        Layer all = LayerCases.layer("w", LayerCases.oft(Orthogonal.neumann(5), 4, false, OftSpec.Form.INPUT));
        float[] v = one.adapter.tensors().getFirst().values();
        float[] repeated = all.adapter.tensors().getFirst().values();
        for (int i = 0; i < repeated.length; i++)
            repeated[i] = v[i % v.length];
        assertThat(output(all)).containsExactly(output(one));
    }

    @Test
    void theNegativeOfAnExactRotationUndoesIt() {
        Layer l = LayerCases.layer("w", LayerCases.oft(Orthogonal.of(Form.CAYLEY_MINUS, 0), 8, false,
                OftSpec.Form.INPUT)).disturbed(0.3);
        float[] turned = merged(l);
        for (Tensor t : l.adapter.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] = -t.values()[i];
        System.arraycopy(turned, 0, l.weight, 0, turned.length);
        float[] back = merged(l);
        float[] original = LayerCases.layer("w", l.spec).weight;
        close("weight", widened(back), widened(original), 1e-6);
    }

    @Test
    void anEmbeddingIsUnmergedByTheInverseOnItsRows() {
        for (Layer l : LayerCases.embeddings()) {
            l.disturbed(0.2);
            int d = l.site.in();
            Buffers store = new Buffers(l, l.adapter.tensors());
            Buf x = Buf.input("x", DType.F32, LayerCases.OUT, d);
            Buf y = Buf.output("y", LayerCases.OUT, d);
            Emitter e = new Emitter("embedding", store, false);
            l.adapter.onEmbedding(store).forward(e, x, y, LayerCases.OUT);
            Program p = e.build();
            try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
                store.fill(s, MemoryPlan.of(List.of(p)));
                s.write(x, l.weight);
                s.run(p);
                double[] w = s.readDouble(y);
                l.adapter.unmerge(w, LayerCases.OUT, true, new RefBackend());
                close(l.name, w, widened(l.weight), 1e-6);
            }
        }
    }
}
