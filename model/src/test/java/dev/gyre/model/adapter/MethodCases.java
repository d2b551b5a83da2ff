package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.adapter.adalora.AdaLora;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.dora.Dora;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.adapter.psoft.Psoft;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// One adapted linear layer for every method and every option that changes what it computes.
final class MethodCases {
    static final int IN = 16;
    static final int OUT = 10;
    static final int ROWS = 6;
    static final Targets ANY = Targets.names("layer");

    private MethodCases() {
    }

    /// A layer of `in` features with random weight, bias and adapter.
    static final class Layer implements Buffers.Source, Sites {
        final String name;
        final AdapterOptions options;
        final Site site;
        final float[] weight;
        final float[] bias;
        final AdapterLayer adapter;
        private final boolean embedding;

        private Layer(String name, AdapterOptions options, int in, boolean embedding) {
            this.name = name;
            this.options = options;
            this.embedding = embedding;
            this.site = new Site("layer", in, embedding ? in : OUT, !embedding);
            Random random = new Random(name.hashCode());
            this.weight = normal(random, OUT * in, 1);
            this.bias = normal(random, OUT, 1);
            this.adapter = Adapter.layer(options, site, new Drawn(this, random));
        }

        /// Moves every parameter away from its initial value.
        Layer disturbed(double by) {
            Random random = new Random(3);
            for (Tensor t : adapter.tensors())
                for (int i = 0; i < t.size(); i++)
                    t.values()[i] += (float) (by * random.nextGaussian());
            return this;
        }

        double[] input() {
            double[] x = new double[ROWS * site.in()];
            Random random = new Random(5);
            Arrays.setAll(x, _ -> random.nextGaussian());
            return x;
        }

        /// What the adapted layer makes of [#input], in double.
        double[] output() {
            Buffers store = new Buffers(this, adapter.tensors());
            Buf x = Buf.input("x", DType.F32, ROWS, site.in());
            Buf y = Buf.output("y", ROWS, OUT);
            Emitter e = new Emitter("layer", store, false);
            new AdaptedLinear(store, "layer", site.in(), OUT, true, List.of(adapter)).forward(e, x, y, ROWS);
            Program p = e.build();
            try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
                store.fill(s, MemoryPlan.of(List.of(p)));
                s.writeDouble(x, input());
                s.run(p);
                return s.readDouble(y);
            }
        }

        /// What a layer of weight `w` without adapter makes of it.
        double[] plain(float[] w) {
            int d = site.in();
            double[] x = input();
            double[] y = new double[ROWS * OUT];
            for (int t = 0; t < ROWS; t++)
                for (int o = 0; o < OUT; o++) {
                    double s = bias[o];
                    for (int k = 0; k < d; k++)
                        s += x[t * d + k] * w[o * d + k];
                    y[t * OUT + o] = s;
                }
            return y;
        }

        float[] merged() {
            return Merge.matrix(new RefBackend(), new Buffers(this, adapter.tensors()), site, List.of(adapter));
        }

        @Override
        public HostData data(String n) {
            return new HostData.F32(n.endsWith("bias") ? bias : weight);
        }

        @Override
        public int[] dims(String n) {
            return n.endsWith("bias") ? new int[] {OUT} : new int[] {OUT, site.in()};
        }

        @Override
        public List<Site> linears() {
            return List.of(site);
        }

        @Override
        public Site embedding() {
            return embedding ? site : new Site("embedding", 1, 1, false);
        }

        @Override
        public String toString() {
            return name;
        }
    }

    /// Draws the tensors of a layer, those that a method would compute from the weight as well.
    private record Drawn(Layer layer, Random random) implements LayerSource {
        @Override
        public Tensor tensor(String name, Init init, int... dims) {
            Tensor t = Tensor.zeros("layer." + name, dims);
            for (int i = 0; i < t.size(); i++)
                t.values()[i] = (float) init.at(i);
            return t;
        }

        @Override
        public float[] frozen(String name, Supplier<float[]> values, int... dims) {
            return MethodCases.normal(new Random(name.hashCode()), dims[0] * dims[1], 1);
        }

        @Override
        public HostData weight() {
            return new HostData.F32(layer.weight);
        }

        @Override
        public @Nullable BaseWeights base() {
            return null;
        }

        @Override
        public int modules() {
            return 1;
        }

        @Override
        public boolean embedding() {
            return layer.embedding;
        }

        @Override
        public double normal() {
            return random.nextGaussian();
        }

        @Override
        public double uniform() {
            return random.nextDouble();
        }
    }

    static void close(String what, double[] got, double[] expected, double tolerance) {
        double top = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        assertThat(got).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < got.length; i++)
            if (!(Math.abs(got[i] - expected[i]) <= tolerance * top))
                throw new AssertionError(what + "[" + i + "]: " + got[i] + ", expected " + expected[i]);
    }

    static double[] widened(float[] a) {
        double[] d = new double[a.length];
        Arrays.setAll(d, i -> a[i]);
        return d;
    }

    static float[] normal(Random random, int n, double std) {
        float[] v = new float[n];
        for (int i = 0; i < n; i++)
            v[i] = (float) (std * random.nextGaussian());
        return v;
    }

    static Oft oft(Oft.Cayley cayley, int terms, int b) {
        return Oft.of(ANY, b).with(cayley, terms);
    }

    static Layer layer(String name, AdapterOptions options) {
        return new Layer(name, options, IN, false);
    }

    /// Every method with every option that changes what it computes.
    static List<Layer> all() {
        List<Layer> out = new ArrayList<>();
        for (int terms : new int[] {2, 3, 5, 6, 9})
            out.add(layer("oft neumann " + terms, oft(Oft.Cayley.NEUMANN, terms, 8)));
        Map<String, Oft.Cayley> maps = new LinkedHashMap<>();
        maps.put("CAYLEY_PLUS", Oft.Cayley.EXACT_PLUS);
        maps.put("CAYLEY_MINUS", Oft.Cayley.EXACT);
        maps.put("NEUMANN_LEGACY", Oft.Cayley.NEUMANN_LEGACY);
        maps.put("NEWTON_SCHULZ", Oft.Cayley.NEWTON_SCHULZ);
        maps.forEach((name, map) -> {
            for (Oft.Form where : Oft.Form.values())
                out.add(layer("oft " + name + " " + where,
                        oft(map, map == Oft.Cayley.NEUMANN_LEGACY ? 5 : 6, 8).with(where)));
        });
        for (Oft.Form where : Oft.Form.values())
            out.add(layer("oft shared " + where, Oft.of(ANY, 4).shared().with(where)));
        out.add(layer("oft by_r", Oft.of(ANY, 4).withBlocks(4)));
        out.add(layer("coft inside its radius", Oft.of(ANY, 4).constrained(10)));
        out.add(layer("oft with block dropout", new Oft(4, null, Oft.Cayley.NEUMANN, 5, false, false, 6e-5, 0.5,
                Oft.Form.INPUT, true, ANY)));
        out.add(new Layer("oft of odd width", Oft.of(ANY, 5), 15, false));
        Psoft psoft = Psoft.of(ANY, 5);
        for (boolean orth : new boolean[] {true, false})
            for (boolean a : new boolean[] {true, false})
                for (boolean b : new boolean[] {true, false})
                    out.add(layer("psoft orth=" + orth + " mag_a=" + a + " mag_b=" + b, psoft.with(orth, a, b)));
        out.add(layer("psoft neumann", psoft.with(Psoft.Cayley.NEUMANN, 5, null)));
        out.add(layer("psoft neumann within a norm", psoft.with(Psoft.Cayley.NEUMANN, 5, 0.3)));
        out.add(layer("psoft newton-schulz", psoft.with(Psoft.Cayley.NEWTON_SCHULZ, 6, null)));
        out.add(layer("psoft scaled, pissa", Psoft.of(ANY, 4).with(Psoft.Factors.PISSA, 8, 0)));
        out.add(layer("psoft with dropout", Psoft.of(ANY, 4).with(Psoft.Factors.PSOFT, 4, 0.4)));
        out.add(layer("goft", new Goft(false, ANY)));
        out.add(layer("goft with scaler", new Goft(true, ANY)));
        out.add(layer("qgoft", new Qgoft(0.05, ANY)));
        out.add(new Layer("goft of odd width", new Goft(true, ANY), 7, false));
        out.add(new Layer("qgoft of odd width", new Qgoft(0.05, ANY), 13, false));
        for (int m : new int[] {1, 2, 3})
            out.add(layer("boft of " + m + " factors", Boft.of(ANY, 4, m)));
        out.add(layer("boft by blocks, dropout", new Boft(null, 4, 2, 0.5, true, ANY)));
        out.add(layer("hra", Hra.of(ANY, 4)));
        out.add(layer("hra gram-schmidt", new Hra(3, true, false, ANY)));
        out.add(layer("lora", Lora.of(ANY, 3, 6)));
        out.add(layer("lora rank-stabilised, gaussian",
                new Lora(3, 6.0, 0, true, true, true, Map.of(), Map.of(), ANY)));
        out.add(layer("lora with dropout, patterns",
                new Lora(3, 6.0, 0.4, false, false, true, Map.of("layer|q_proj", 2), Map.of("layer|q_proj", 5.0),
                        ANY)));
        out.add(layer("dora", new Dora(Lora.of(ANY, 3, 6))));
        out.add(layer("dora rank-stabilised, at random",
                new Dora(new Lora(3, 6.0, 0, true, true, false, Map.of(), Map.of(), ANY))));
        out.add(layer("dora with dropout, patterns",
                new Dora(new Lora(3, 6.0, 0.4, false, false, true, Map.of("layer|q_proj", 2),
                        Map.of("layer|q_proj", 5.0), ANY))));
        out.add(layer("adalora", AdaLora.of(ANY, 3, 2, 20L)));
        out.add(layer("adalora without regulariser, with dropout",
                new AdaLora(4, 1, 3.0, 0.4, 2, 3, 2, 0.8, 0.9, 0, true,
                        ANY, 20L, Map.of())));
        return out;
    }

    /// OFT on an embedding of width [#IN].
    static List<Layer> embeddings() {
        return List.of(new Layer("embedding", Oft.of(ANY, 4), IN, true),
                new Layer("embedding, exact, shared", oft(Oft.Cayley.EXACT, 5, 8).shared(), IN, true));
    }
}
