package dev.gyre.model.adapter;

import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Form;
import dev.gyre.kernels.op.Orthogonal.Skew;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;

/// One adapted linear layer for every method and every option that changes what it computes.
final class LayerCases {
    static final int IN = 16;
    static final int OUT = 10;
    private static final Targets ANY = Targets.names("layer");

    private LayerCases() {
    }

    /// A layer of `in` features with random weight, bias and adapter.
    static final class Layer implements Buffers.Source, Sites {
        final String name;
        final AdapterSpec spec;
        final Site site;
        final float[] weight;
        final float[] bias;
        final ModuleAdapter adapter;

        private Layer(String name, AdapterSpec spec, int in, boolean embedding) {
            this.name = name;
            this.spec = spec;
            this.site = new Site("layer", in, embedding ? in : OUT, !embedding);
            Random random = new Random(name.hashCode());
            this.weight = normal(random, OUT * in, 1);
            this.bias = normal(random, OUT, 1);
            float[] a = normal(random, 16 * in, 1);
            float[] b = normal(random, OUT * 16, 1);
            this.adapter = Builder.build(spec, site, embedding ? this : new NoEmbedding(this), Builder.fresh(),
                    (i, s) -> new PrincipalFactors(java.util.Arrays.copyOf(a, s.r() * in),
                            java.util.Arrays.copyOf(b, OUT * s.r())),
                    random);
        }

        /// Moves every parameter away from its initial value.
        Layer disturbed(double by) {
            Random random = new Random(3);
            for (Tensor t : adapter.tensors())
                for (int i = 0; i < t.size(); i++)
                    t.values()[i] += (float) (by * random.nextGaussian());
            return this;
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
            return site;
        }

        @Override
        public String toString() {
            return name;
        }
    }

    private record NoEmbedding(Layer layer) implements Sites {
        @Override
        public List<Site> linears() {
            return layer.linears();
        }

        @Override
        public Site embedding() {
            return new Site("embedding", 1, 1, false);
        }

        @Override
        public HostData data(String name) {
            return layer.data(name);
        }
    }

    static float[] normal(Random random, int n, double std) {
        float[] v = new float[n];
        for (int i = 0; i < n; i++)
            v[i] = (float) (std * random.nextGaussian());
        return v;
    }

    static OftSpec oft(Orthogonal map, int b, boolean share, OftSpec.Form form) {
        return new OftSpec(ANY, 0, b, map, share, false, 6e-5, 0, true, form);
    }

    private static PsoftSpec psoft(int r, PsoftSpec.Init init, boolean orth, boolean a, boolean b, Orthogonal map,
            double alpha, double dropout) {
        return new PsoftSpec(ANY, r, alpha, dropout, init, PsoftSpec.Svd.FULL, 10, 0, orth, a, b, map, true);
    }

    static Layer layer(String name, AdapterSpec spec) {
        return new Layer(name, spec, IN, false);
    }

    static List<Layer> all() {
        List<Layer> out = new ArrayList<>();
        Orthogonal plus = Orthogonal.of(Form.CAYLEY_PLUS, 0);
        for (int terms : new int[] {2, 3, 5, 6, 9})
            out.add(layer("oft neumann " + terms, oft(Orthogonal.neumann(terms), 8, false, OftSpec.Form.INPUT)));
        for (Form form : List.of(Form.CAYLEY_PLUS, Form.CAYLEY_MINUS, Form.NEUMANN_LEGACY, Form.NEWTON_SCHULZ)) {
            Orthogonal map = Orthogonal.of(form, form == Form.NEUMANN_LEGACY ? 5 : 6);
            for (OftSpec.Form where : OftSpec.Form.values())
                out.add(layer("oft " + form + " " + where, oft(map, 8, false, where)));
        }
        for (OftSpec.Form where : OftSpec.Form.values())
            out.add(layer("oft shared " + where, oft(Orthogonal.neumann(5), 4, true, where)));
        out.add(layer("oft by_r", new OftSpec(ANY, 4, 0, Orthogonal.neumann(5), false, false, 6e-5, 0, true,
                OftSpec.Form.INPUT)));
        out.add(layer("coft inside its radius", new OftSpec(ANY, 0, 4, Orthogonal.neumann(5), false, true, 10, 0, true,
                OftSpec.Form.INPUT)));
        out.add(layer("oft with block dropout", new OftSpec(ANY, 0, 4, Orthogonal.neumann(5), false, false, 6e-5, 0.5,
                true, OftSpec.Form.INPUT)));
        out.add(new Layer("oft of odd width", oft(Orthogonal.neumann(5), 5, false, OftSpec.Form.INPUT), 15, false));
        for (boolean orth : new boolean[] {true, false})
            for (boolean a : new boolean[] {true, false})
                for (boolean b : new boolean[] {true, false})
                    out.add(layer("psoft orth=" + orth + " mag_a=" + a + " mag_b=" + b,
                            psoft(5, PsoftSpec.Init.PSOFT, orth, a, b, plus, 5, 0)));
        out.add(layer("psoft neumann", psoft(5, PsoftSpec.Init.PSOFT, true, true, true, Orthogonal.neumann(5), 5, 0)));
        out.add(layer("psoft neumann within a norm", psoft(5, PsoftSpec.Init.PSOFT, true, true, true,
                new Orthogonal(Form.NEUMANN, 5, 0.3, Skew.PACKED), 5, 0)));
        out.add(layer("psoft newton-schulz",
                psoft(5, PsoftSpec.Init.PSOFT, true, true, true, Orthogonal.of(Form.NEWTON_SCHULZ, 6), 5, 0)));
        out.add(layer("psoft scaled, pissa", psoft(4, PsoftSpec.Init.PISSA, true, true, true, plus, 8, 0)));
        out.add(layer("psoft with dropout", psoft(4, PsoftSpec.Init.PSOFT, true, true, true, plus, 4, 0.4)));
        out.add(layer("goft", new GivensSpec(ANY, true, false, 0)));
        out.add(layer("goft with scaler", new GivensSpec(ANY, true, true, 0)));
        out.add(layer("qgoft", new GivensSpec(ANY, false, false, 0.05)));
        out.add(new Layer("goft of odd width", new GivensSpec(ANY, true, true, 0), 7, false));
        out.add(new Layer("qgoft of odd width", new GivensSpec(ANY, false, false, 0.05), 13, false));
        for (int m : new int[] {1, 2, 3})
            out.add(layer("boft of " + m + " factors", new BoftSpec(ANY, 4, 0, m, 0, true)));
        out.add(layer("boft by blocks, dropout", new BoftSpec(ANY, 0, 4, 2, 0.5, true)));
        out.add(layer("hra", new HraSpec(ANY, 4, false, true)));
        out.add(layer("hra gram-schmidt", new HraSpec(ANY, 3, true, false)));
        out.add(layer("lora", new LoraSpec(ANY, 3, 6, 0, false, false, true, Map.of(), Map.of())));
        out.add(layer("lora rank-stabilised, gaussian",
                new LoraSpec(ANY, 3, 6, 0, true, true, true, Map.of(), Map.of())));
        out.add(layer("lora with dropout, patterns",
                new LoraSpec(ANY, 3, 6, 0.4, false, false, true, Map.of("layer", 2), Map.of("layer", 5.0))));
        return out;
    }

    /// OFT behind an embedding of width [#IN].
    static List<Layer> embeddings() {
        return List.of(new Layer("embedding", oft(Orthogonal.neumann(5), 4, false, OftSpec.Form.INPUT), IN, true),
                new Layer("embedding, exact, shared",
                        oft(Orthogonal.of(Form.CAYLEY_MINUS, 0), 8, true, OftSpec.Form.INPUT), IN, true));
    }
}
