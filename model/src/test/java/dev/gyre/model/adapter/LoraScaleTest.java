package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/// The scale alpha / r of LoRA reaches the double-precision reference unrounded: 8/3 as a float is wrong by 3e-8.
class LoraScaleTest {
    private static final int IN = 5;
    private static final int OUT = 4;
    private static final int R = 3;
    private static final double ALPHA = 8;

    private static float[] normal(Random random, int n) {
        float[] a = new float[n];
        for (int i = 0; i < n; i++)
            a[i] = (float) random.nextGaussian();
        return a;
    }

    /// `W + (8/3) B A`, element by element, against the output on unit vectors.
    @Test
    void alphaEightOverRankThreeAgreesInDouble() {
        Random random = new Random(7);
        float[] w = normal(random, OUT * IN);
        float[] a = normal(random, R * IN);
        float[] b = normal(random, OUT * R);
        Site site = new Site("layer", IN, OUT, false);
        LoraSpec spec = new LoraSpec(Targets.names("layer"), R, ALPHA, 0, false, false, true, Map.of(), Map.of());
        ModuleAdapter adapter = Builder.build(spec, site, new One(site, w),
                (name, init, dims) -> new Tensor(name, name.contains("lora_A") ? a : b, true, dims),
                (i, s) -> new PrincipalFactors(a, b), random);
        Buffers store = new Buffers(new One(site, w), adapter.tensors());
        Buf x = Buf.input("x", DType.F32, IN, IN);
        Buf y = Buf.output("y", IN, OUT);
        Emitter e = new Emitter("layer", store, false);
        new AdaptedLinear(store, "layer", IN, OUT, false, List.of(adapter)).forward(e, x, y, IN);
        Program program = e.build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(program))) {
            store.fill(s, MemoryPlan.of(List.of(program)));
            float[] units = new float[IN * IN];
            for (int i = 0; i < IN; i++)
                units[i * IN + i] = 1;
            s.write(x, units);
            s.run(program);
            double[] got = s.readDouble(y);
            for (int i = 0; i < IN; i++)
                for (int o = 0; o < OUT; o++) {
                    double sum = 0;
                    for (int k = 0; k < R; k++)
                        sum += (double) b[o * R + k] * a[k * IN + i];
                    double expected = w[o * IN + i] + ALPHA / R * sum;
                    assertThat(got[i * OUT + o]).as("input %d, output %d", i, o).isCloseTo(expected, within(1e-12));
                }
        }
    }

    private record One(Site site, float[] w) implements Sites, Buffers.Source {
        @Override
        public List<Site> linears() {
            return List.of(site);
        }

        @Override
        public Site embedding() {
            return new Site("embedding", 1, 1, false);
        }

        @Override
        public HostData data(String name) {
            return new HostData.F32(w);
        }

        @Override
        public int[] dims(String name) {
            return new int[] {site.out(), site.in()};
        }
    }
}
