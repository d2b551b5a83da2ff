package dev.gyre.model.adapter;

import static dev.gyre.model.adapter.MethodCases.ANY;
import static dev.gyre.model.adapter.MethodCases.close;
import static dev.gyre.model.adapter.MethodCases.widened;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.adapter.MethodCases.Layer;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What holds of a layer of single methods, in double: orthogonal maps keep lengths, inverses are refused where they would
/// divide by nothing, and some options are special cases of others. [MethodContractTest] has what holds of all.
class LayerIdentitiesTest {
    /// Methods whose map is orthogonal whatever its parameters are.
    static List<Layer> orthogonal() {
        return MethodCases.all().stream().filter(l -> switch (l.options) {
            case Oft o -> o.cayley() == Oft.Cayley.EXACT || o.cayley() == Oft.Cayley.EXACT_PLUS
                    || o.cayley() == Oft.Cayley.NEWTON_SCHULZ;
            case Goft g -> !g.scaler();
            case Hra _ -> true;
            default -> false;
        }).toList();
    }

    /// One number of each method put where its inverse would divide by nothing.
    @Test
    void unmergingRefusesToDivideByAlmostNothing() {
        Layer oft = MethodCases.layer("near rank loss",
                Oft.of(ANY, 2));
        oft.adapter.tensors().getFirst().values()[3] = 0.9999f; // one plane of Q at 1: R = 0 there
        Layer exact = MethodCases.layer("same, exact",
                MethodCases.oft(Oft.Cayley.EXACT, 5, 2));
        exact.adapter.tensors().getFirst().values()[3] = 0.9999f;
        Layer scaled = MethodCases.layer("zero factor", new Goft(true, ANY));
        scaled.adapter.tensors().getLast().values()[4] = 0;
        Layer pair = MethodCases.layer("singular pair", new Qgoft(0, ANY));
        Arrays.fill(pair.adapter.tensors().getFirst().values(), 8, 12, 0.5f);
        Layer boft = MethodCases.layer("zero output", Boft.of(ANY, 4, 1));
        boft.adapter.tensors().getLast().values()[7] = 0;
        for (Layer l : List.of(oft, scaled, pair, boft))
            assertThatThrownBy(() -> l.adapter.unmerge(widened(l.merged()), MethodCases.OUT, false, new RefBackend()))
                    .as(l.name).isInstanceOf(InputException.class)
                    .hasMessageContaining("layer: ").hasMessageContaining("take it from the base model");
        double[] w = widened(exact.merged());
        assertThat(exact.adapter.unmerge(w, MethodCases.OUT, false, new RefBackend())).isLessThan(1.001);
    }

    @ParameterizedTest
    @MethodSource("orthogonal")
    void anOrthogonalMapKeepsTheLengthOfEveryRowOfTheWeight(Layer l) {
        l.disturbed(0.3);
        float[] w = l.merged();
        int d = l.site.in();
        for (int o = 0; o < MethodCases.OUT; o++) {
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
        Layer one = MethodCases.layer("w", Oft.of(ANY, 4).shared())
                .disturbed(0.3);
        Layer all = MethodCases.layer("w", Oft.of(ANY, 4));
        float[] v = one.adapter.tensors().getFirst().values();
        float[] repeated = all.adapter.tensors().getFirst().values();
        for (int i = 0; i < repeated.length; i++)
            repeated[i] = v[i % v.length];
        assertThat(all.output()).containsExactly(one.output());
    }

    @Test
    void theNegativeOfAnExactRotationUndoesIt() {
        Layer l = MethodCases.layer("w", MethodCases.oft(Oft.Cayley.EXACT, 5, 8)).disturbed(0.3);
        float[] turned = l.merged();
        for (Tensor t : l.adapter.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] = -t.values()[i];
        System.arraycopy(turned, 0, l.weight, 0, turned.length);
        float[] back = l.merged();
        float[] original = MethodCases.layer("w", l.options).weight;
        close("weight", widened(back), widened(original), 1e-6);
    }

    @Test
    void anEmbeddingIsUnmergedByTheInverseOnItsRows() {
        for (Layer l : MethodCases.embeddings()) {
            l.disturbed(0.2);
            int d = l.site.in();
            Buffers store = new Buffers(l, l.adapter.tensors());
            Buf x = Buf.input("x", DType.F32, MethodCases.OUT, d);
            Buf y = Buf.output("y", MethodCases.OUT, d);
            Emitter e = new Emitter("embedding", store, false);
            l.adapter.onEmbedding(store).forward(e, x, y, MethodCases.OUT);
            Program p = e.build();
            try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
                store.fill(s, MemoryPlan.of(List.of(p)));
                s.write(x, l.weight);
                s.run(p);
                double[] w = s.readDouble(y);
                l.adapter.unmerge(w, MethodCases.OUT, true, new RefBackend());
                close(l.name, w, widened(l.weight), 1e-6);
            }
        }
    }
}
