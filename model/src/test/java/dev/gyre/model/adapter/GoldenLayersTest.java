package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.GoldenOptions;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.weights.Site;
import dev.gyre.quant.DoubleQuant;
import dev.gyre.quant.Nf4;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// Every golden layer case of every method, built and emitted as in a model: output, input gradient, parameter gradients
/// in double, the merged weight in single precision.
class GoldenLayersTest {
    /// The files lie in the kernels' test jar; a safetensors file is read through the file system.
    @TempDir
    private static Path layers;
    private static final Targets ANY = Targets.names("layer");

    record Case(JsonNode json) {
        @Override
        public String toString() {
            return json.get("method").asString() + "/" + json.get("name").asString();
        }
    }

    static Stream<Case> cases() throws Exception {
        JsonNode index = JsonMapper.builder().build().readTree(resource("index.json"));
        List<Case> out = new ArrayList<>();
        for (JsonNode c : index.get("cases"))
            // without an alpha PEFT scales by the rank, which Gyre refuses
            if (!c.get("method").asString().equals("nf4") && !c.get("name").asString().equals("r4_alpha0"))
                out.add(new Case(c));
        assertThat(out).hasSizeGreaterThanOrEqualTo(26);
        return out.stream();
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = Objects.requireNonNull(GoldenLayersTest.class.getResourceAsStream("/golden/" + name))) {
            return in.readAllBytes();
        }
    }

    private static SafeTensors open(Case c) {
        String name = c.json.get("file").asString();
        Path file = layers.resolve(name);
        try {
            if (!Files.exists(file))
                Files.write(file, resource(name));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return SafeTensors.open(file);
    }

    /// The options of a case, read as PEFT's file holds them.
    ///
    /// @param read is asked for each of them
    private static AdapterOptions options(Case c, GoldenOptions read) {
        ObjectNode json = ((ObjectNode) c.json.get("config")).deepCopy();
        String method = c.json.get("method").asString();
        json.put("peft_type", switch (method) {
            case "qoft" -> "OFT";
            case "dora" -> "LORA";
            default -> method.toUpperCase(Locale.ROOT);
        }).put("peft_version", "0.21.0");
        if (method.equals("adalora"))
            json.put("total_step", 100).put("target_r", 1);
        JsonNode pattern = json.get("rank_pattern");
        if (pattern != null && pattern.isArray())
            json.putObject("rank_pattern").set("layer.lora_E", pattern);
        PeftConfig config = PeftConfig.parse(Path.of(c + ".json"), json);
        for (String key : c.json.get("config").propertyNames())
            if (!config.unknown().containsKey(key))
                read.get(key);
        return config.options().with(ANY);
    }

    /// Holds the options that PEFT's files do not have to what these layers compute.
    private static void expectRest(Case c, GoldenOptions o) {
        int d = o.get("in_features").asInt();
        o.get("out_features");
        JsonNode params = c.json.get("params");
        switch (c.json.get("method").asString()) {
            case "oft" -> {
                int b = o.get("effective_block_size").asInt();
                o.expect("effective_r", d / b);
                o.expect("module_dropout", 0.0);
            }
            case "qoft" -> {
                o.get("nested"); // of the base weight, as these two
                o.expect("blocksize", Nf4.DEFAULT_BLOCK);
                o.get("requantization_relative_error");
            }
            case "psoft" -> {
                o.expect("psoft_svd", "full");
                o.expect("psoft_mag_a", params.has("psoft_R.vector_a"));
                o.expect("psoft_mag_b", params.has("psoft_R.vector_b"));
            }
            case "adalora" -> {
                o.get("rank"); // the shape of the tensors
                o.expect("ranknum", o.get("init_r").asInt());
                o.expect("scaling", o.get("lora_alpha").asInt());
            }
            case "goft" -> {
                o.expect("variant", o.get("strict_oft").asBoolean() ? "goft" : "qgoft");
                o.expect("informational_only", false);
            }
            default -> {
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void layerAgreesInDouble(Case c) {
        for (AdapterOptions spec : specs(c))
            try (SafeTensors f = open(c)) {
                Made made = run(new RefBackend(), c, f, spec, null);
                made.values.forEach((output, got) -> expect(c, f, output, got));
                JsonNode m = c.json.get("outputs").get("W_merged");
                double[] w = widened(made.merged());
                double[] merged = w.clone();
                within(c, "W_merged", w,
                        m.isString() ? widened(f.f32(m.asString())) : f.f64(m.get("f64").asString()), 1e-6, 1e-6);
                if (!Methods.of(spec).unmerges())
                    continue;
                double growth = made.adapter.unmerge(w, config(c, "out_features"), false, new RefBackend());
                double[] original = widened(f.f32(c.json.get("inputs").get(weight(c)).asString()));
                // what is subtracted from a large merged weight leaves that one's rounding errors
                within(c, "unmerged weight", w, original, 1e-6 * growth * Math.max(1, top(merged) / top(original)), 0);
                if (c.json.get("outputs").has("W_unmerged")) {
                    JsonNode t = c.json.get("tolerance").get("overrides").get("W_unmerged").get("f64");
                    within(c, "W_unmerged", w,
                            f.f64(c.json.get("outputs").get("W_unmerged").get("f64").asString()),
                            t.get("rtol").asDouble(), t.get("atol").asDouble());
                }
            }
    }

    /// OFT's cases hold for OFT v1 as well: it is the same function.
    private static List<AdapterOptions> specs(Case c) {
        GoldenOptions read = new GoldenOptions(c.toString(), c.json.get("config"));
        AdapterOptions options = options(c, read);
        expectRest(c, read);
        read.expectAllRead();
        List<AdapterOptions> out = new ArrayList<>(List.of(options));
        if (options instanceof Oft o && !o.coft())
            for (Oft.Form form : List.of(Oft.Form.WEIGHT_BLOCK, Oft.Form.WEIGHT_DENSE))
                out.add(o.with(form));
        return out;
    }

    /// Largest deviation of the CPU backend in single precision, relative to each tensor's maximum: over an F32 weight
    /// from the golden doubles, over BF16 and NF4 weights from the double reference on the decoded weight (QOFT: also from
    /// the golden doubles). The table goes to the test report and to `target/golden-deviations.md`.
    @Test
    void deviationsInSinglePrecisionStayFarBelowTheTolerance(TestReporter reporter) throws Exception {
        Map<String, double[]> worst = new TreeMap<>();
        for (Case c : cases().toList())
            for (AdapterOptions spec : specs(c))
                try (SafeTensors f = open(c)) {
                    float[] w = f.f32(c.json.get("inputs").get("W").asString());
                    HostData nf4 = Nf4.quantize(new HostData.F32(w), Nf4.DEFAULT_BLOCK);
                    List<HostData> bases = List.of(new HostData.F32(w), new HostData.BF16(bf16(w)), nf4,
                            DoubleQuant.of((HostData.NF4) nf4));
                    double[] row = worst.computeIfAbsent(spec.title(), _ -> new double[4]);
                    for (int b = 0; b < 4; b++) {
                        HostData base = bases.get(b);
                        boolean golden = c.json.get("method").asString().equals("qoft")
                                ? b == (c.json.get("config").get("nested").asBoolean() ? 3 : 2)
                                : b == 0;
                        Map<String, double[]> expected = run(new RefBackend(), c, f, spec, base).values;
                        if (golden)
                            expected.replaceAll((output, _) -> f
                                    .f64(c.json.get("outputs").get(output).get("f64").asString()));
                        Map<String, double[]> got = run(new CpuBackend(1), c, f, spec, base).values;
                        for (Map.Entry<String, double[]> e : expected.entrySet())
                            row[b] = Math.max(row[b],
                                    deviation(Objects.requireNonNull(got.get(e.getKey())), e.getValue()));
                    }
                }
        StringBuilder table = new StringBuilder("| method | F32 | BF16 | NF4 | NF4 double |\n|---|---|---|---|---|\n");
        worst.forEach((method, row) -> table.append(String.format(Locale.ROOT, "| %s | %.1e | %.1e | %.1e | %.1e |%n",
                method, row[0], row[1], row[2], row[3])));
        reporter.publishEntry("golden deviations", table.toString());
        Files.createDirectories(Path.of("target"));
        Files.writeString(Path.of("target/golden-deviations.md"), table);
        worst.forEach((method, row) -> assertThat(Arrays.stream(row).allMatch(d -> d <= 2e-5)).as(table.toString())
                .isTrue());
    }

    private static double top(double[] a) {
        return Arrays.stream(a).map(Math::abs).max().orElseThrow();
    }

    private static double deviation(double[] got, double[] expected) {
        double top = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        double worst = 0;
        for (int i = 0; i < got.length; i++) {
            double d = Math.abs(got[i] - expected[i]) / top;
            worst = d <= worst ? worst : d; // a NaN stays
        }
        return worst;
    }

    private static short[] bf16(float[] w) {
        short[] out = new short[w.length];
        for (int i = 0; i < w.length; i++)
            out[i] = (short) (Float.floatToRawIntBits(w[i]) + 0x8000 >> 16);
        return out;
    }

    private static int config(Case c, String key) {
        return c.json.get("config").get(key).asInt();
    }

    /// Name of the weight that the golden values belong to.
    private static String weight(Case c) {
        return c.json.get("method").asString().equals("qoft") ? "W_dequantized" : "W";
    }

    /// What one layer made: `y`, `grad.x`, `grad.<parameter>`, `projected.<parameter>`.
    private record Made(Map<String, double[]> values, AdapterLayer adapter, Buffers.Source source, Site site) {
        float[] merged() {
            return Merge.matrix(new RefBackend(), new Buffers(source, adapter.tensors()), site, List.of(adapter));
        }
    }

    /// @param base the weight as it is held; null: the golden one in F32
    private static Made run(Backend backend, Case c, SafeTensors f, AdapterOptions spec, @Nullable HostData base) {
        JsonNode json = c.json;
        int in = config(c, "in_features");
        int out = config(c, "out_features");
        JsonNode inputs = json.get("inputs");
        float[] x = f.f32(inputs.get("x").asString());
        int N = x.length / in;
        boolean bias = inputs.has("bias");
        Buffers.Source source = new Buffers.Source() {
            @Override
            public HostData data(String name) {
                if (name.endsWith("bias"))
                    return new HostData.F32(f.f32(inputs.get("bias").asString()));
                return base != null ? base : new HostData.F32(f.f32(inputs.get(weight(c)).asString()));
            }

            @Override
            public int[] dims(String name) {
                return name.endsWith("bias") ? new int[] {out} : new int[] {out, in};
            }
        };
        Site site = new Site("layer", in, out, bias);
        AdapterLayer adapter = Adapter.layer(spec, site, new Stored(c, f, source));
        Buffers store = new Buffers(source, adapter.tensors());
        Buf xb = Buf.input("x", DType.F32, N, in);
        Buf gy = Buf.input("gy", DType.F32, N, out);
        Buf y = Buf.output("y", N, out);
        Buf dX = Buf.output("dX", N, in);
        Emitter e = new Emitter("layer", store, true);
        AdaptedLinear layer = new AdaptedLinear(store, "layer", in, out, bias, List.of(adapter));
        layer.forward(e, xb, y, N);
        layer.backward(e, xb, gy, dX, false, N);
        Program program = e.build();
        Map<String, double[]> values = new LinkedHashMap<>();
        try (Session s = backend.open(List.of(program))) {
            store.fill(s, MemoryPlan.of(List.of(program)));
            s.write(xb, x);
            s.write(gy, f.f32(inputs.get("gy").asString()));
            s.run(program);
            values.put("y", read(s, y));
            values.put("grad.x", read(s, dX));
            double[] grads = read(s, store.grads());
            double[] params = read(s, store.params());
            for (Tensor t : adapter.tensors()) {
                String p = t.name().substring("layer.".length());
                int at = store.offset(t);
                values.put("grad." + p, Arrays.copyOfRange(grads, at, at + t.size()));
                if (json.get("outputs").has("projected." + p))
                    values.put("projected." + p, Arrays.copyOfRange(params, at, at + t.size()));
            }
        }
        return new Made(values, adapter, source, site);
    }

    private static double[] read(Session s, Buf b) {
        return s instanceof RefBackend.RefSession r ? r.readDouble(b) : widened(s.read(b));
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

    /// Reads the tensors of a case.
    private record Stored(Case c, SafeTensors f, Buffers.Source model) implements LayerSource {
        @Override
        public Tensor tensor(String name, Init init, int... dims) {
            return new Tensor("layer." + name, f.f32(c.json.get("params").get(name).asString()), true, dims);
        }

        @Override
        public float[] frozen(String name, Supplier<float[]> values, int... dims) {
            return f.f32(c.json.get("inputs").get(name.substring(name.length() - 1)).asString());
        }

        @Override
        public HostData weight() {
            return model.data("layer.weight");
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
            return false;
        }

        @Override
        public double normal() {
            return 0;
        }

        @Override
        public double uniform() {
            return 0;
        }
    }
}
