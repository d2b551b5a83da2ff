package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Buf;
import dev.gyre.kernels.DType;
import dev.gyre.kernels.HostData;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Orthogonal;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.llama.Merge;
import dev.gyre.model.step.Emitter;
import dev.gyre.model.step.Store;
import dev.gyre.model.step.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Every golden layer case of every method, built and emitted as in a model: output, input gradient, parameter gradients
/// in double, the merged weight in single precision.
class GoldenLayersTest {
    static final Path LAYERS = Path.of("src/test/resources/golden/layers");
    private static final Targets ANY = Targets.names("layer");

    record Case(JsonNode json) {
        @Override
        public String toString() {
            return json.get("method").asString() + "/" + json.get("name").asString();
        }
    }

    static Stream<Case> cases() throws Exception {
        JsonNode index = JsonMapper.builder().build().readTree(Files.readString(LAYERS.resolve("index.json")));
        List<Case> out = new ArrayList<>();
        for (JsonNode c : index.get("cases"))
            if (!c.get("method").asString().equals("nf4"))
                out.add(new Case(c));
        assertThat(out).hasSizeGreaterThanOrEqualTo(26);
        return out.stream();
    }

    private static AdapterSpec spec(String method, JsonNode c) {
        return switch (method) {
            case "oft", "qoft" -> new OftSpec(ANY, c.path("r").asInt(0), c.get("oft_block_size").asInt(),
                    c.path("use_cayley_neumann").asBoolean(true)
                            ? Orthogonal.neumann(c.get("num_cayley_neumann_terms").asInt())
                            : Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0),
                    c.path("block_share").asBoolean(false), c.path("coft").asBoolean(false),
                    c.path("eps").asDouble(6e-5), 0, true, OftSpec.Form.INPUT);
            case "psoft" -> new PsoftSpec(ANY, c.get("r").asInt(), c.get("psoft_alpha").asDouble(), 0,
                    PsoftSpec.Init.PSOFT, PsoftSpec.Svd.FULL, 10, 0, c.get("psoft_orth").asBoolean(),
                    c.get("psoft_mag_a").asBoolean(), c.get("psoft_mag_b").asBoolean(),
                    c.get("use_cayley_neumann").asBoolean()
                            ? Orthogonal.neumann(c.get("num_cayley_neumann_terms").asInt())
                            : Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0),
                    true);
            case "goft" -> new GivensSpec(ANY, c.get("strict_oft").asBoolean(), !c.get("no_scaling").asBoolean(), 0);
            case "lora" -> new LoraSpec(ANY, c.get("r").asInt(), c.get("lora_alpha").asDouble(), 0,
                    c.get("use_rslora").asBoolean(), false, true, Map.of(), Map.of());
            case "boft" -> new BoftSpec(ANY, c.get("boft_block_size").asInt(), c.get("boft_block_num").asInt(),
                    c.get("boft_n_butterfly_factor").asInt(), 0, true);
            case "hra" -> new HraSpec(ANY, c.get("r").asInt(), c.get("apply_GS").asBoolean(), true);
            default -> throw new IllegalArgumentException(method);
        };
    }

    @ParameterizedTest
    @MethodSource("cases")
    void layerAgreesInDouble(Case c) {
        String method = c.json.get("method").asString();
        JsonNode config = c.json.get("config");
        AdapterSpec spec = spec(method, config);
        check(c, spec, "f64");
        if (spec instanceof OftSpec o && !o.coft())
            for (OftSpec.Form form : List.of(OftSpec.Form.WEIGHT_BLOCK, OftSpec.Form.WEIGHT_DENSE))
                check(c, new OftSpec(ANY, o.blocks(), o.blockSize(), o.map(), o.blockShare(), false, o.eps(), 0, true,
                        form), "f64");
    }

    private void check(Case c, AdapterSpec spec, String precision) {
        JsonNode json = c.json;
        JsonNode config = json.get("config");
        int in = config.get("in_features").asInt();
        int out = config.get("out_features").asInt();
        try (SafeTensors f = SafeTensors.open(LAYERS.resolve(json.get("file").asString()))) {
            JsonNode inputs = json.get("inputs");
            float[] x = f.f32(inputs.get("x").asString());
            int N = x.length / in;
            boolean bias = inputs.has("bias");
            String w = json.get("method").asString().equals("qoft") ? "W_dequantized" : "W";
            Store.Source source = new Store.Source() {
                @Override
                public HostData data(String name) {
                    return new HostData.F32(f.f32(inputs.get(name.endsWith("bias") ? "bias" : w).asString()));
                }

                @Override
                public int[] dims(String name) {
                    return name.endsWith("bias") ? new int[] {out} : new int[] {out, in};
                }
            };
            Modules.Info info = new Modules.Info("layer", in, out, bias);
            Builder.Source stored = (name, init, dims) -> new Tensor(name,
                    f.f32(json.get("params").get(name.substring("layer.".length())).asString()), true, dims);
            ModuleAdapter adapter = Builder.build(spec, info, new One(info), stored,
                    (i, s) -> new PrincipalFactors(f.f32(inputs.get("A").asString()),
                            f.f32(inputs.get("B").asString())),
                    new Random(1));
            Store store = new Store(source, adapter.tensors());
            Buf xb = Buf.input("x", DType.F32, N, in);
            Buf gy = Buf.input("gy", DType.F32, N, out);
            Buf y = Buf.output("y", N, out);
            Buf dX = Buf.output("dX", N, in);
            Emitter e = new Emitter("layer", store, true);
            AdaptedLinear layer = new AdaptedLinear(store, "layer", in, out, bias, List.of(adapter));
            layer.forward(e, xb, y, N);
            layer.backward(e, xb, gy, dX, false, N);
            Program program = e.build();
            try (RefBackend.RefSession s = new RefBackend().open(List.of(program))) {
                store.fill(s, MemoryPlan.of(List.of(program)));
                s.write(xb, x);
                s.write(gy, f.f32(inputs.get("gy").asString()));
                s.run(program);
                expect(c, f, "y", s.readDouble(y));
                expect(c, f, "grad.x", s.readDouble(dX));
                double[] grads = s.readDouble(store.grads());
                double[] params = s.readDouble(store.params());
                for (Tensor t : adapter.tensors()) {
                    String p = t.name().substring("layer.".length());
                    int at = store.offset(t);
                    expect(c, f, "grad." + p, java.util.Arrays.copyOfRange(grads, at, at + t.size()));
                    if (json.get("outputs").has("projected." + p))
                        expect(c, f, "projected." + p, java.util.Arrays.copyOfRange(params, at, at + t.size()));
                }
            }
            float[] merged =
                    Merge.matrix(new RefBackend(), new Store(source, adapter.tensors()), info, List.of(adapter));
            double[] wide = widened(merged);
            JsonNode m = json.get("outputs").get("W_merged");
            within(c, "W_merged", wide,
                    m.isString() ? widened(f.f32(m.asString())) : f.f64(m.get("f64").asString()), 1e-6, 1e-6);
        }
    }

    private static double[] widened(float[] a) {
        double[] d = new double[a.length];
        for (int i = 0; i < a.length; i++)
            d[i] = a[i];
        return d;
    }

    private static void expect(Case c, SafeTensors f, String output, double[] got) {
        JsonNode tolerance = c.json.get("tolerance").get("f64");
        within(c, output, got, f.f64(c.json.get("outputs").get(output).get("f64").asString()),
                tolerance.get("rtol").asDouble(), tolerance.get("atol").asDouble());
    }

    private static void within(Case c, String output, double[] got, double[] expected, double rtol, double atol) {
        assertThat(got.length).as(c + " " + output).isEqualTo(expected.length);
        double top = 0;
        for (double v : expected)
            top = Math.max(top, Math.abs(v));
        for (int i = 0; i < got.length; i++) {
            double diff = Math.abs(got[i] - expected[i]);
            if (!(diff <= atol + rtol * top))
                throw new AssertionError(c + " " + output + "[" + i + "]: got " + got[i] + ", expected " + expected[i]);
        }
    }

    private record One(Info info) implements Modules {
        @Override
        public List<Info> linears() {
            return List.of(info);
        }

        @Override
        public Info embedding() {
            return new Info("embedding", 1, 1, false);
        }

        @Override
        public HostData data(String name) {
            throw new UnsupportedOperationException();
        }
    }
}
