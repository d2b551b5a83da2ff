package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.cpu.SimdChoice;
import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.weights.Storage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// The model families that came after Llama's: everything Gyre does with a model, on models that transformers wrote and
/// with adapters that PEFT wrote (`golden/families2/README.md`). Deviations are relative to each tensor's largest value.
class GoldenFamiliesTest {
    private static final List<String> FAMILIES = List.of("olmo2", "gemma2", "gemma3-text", "granite", "phi3",
            "phi4-mini", "smollm3", "smollm3-window");
    private static final double F64 = 1e-9;
    /// transformers computes norms and rotary tables in single precision even in a model of doubles.
    private static final double TRANSFORMERS_F64 = 5e-6;
    private static final double F32 = 2e-4;
    private static final Set<Use> ALL = Set.of(Use.TRAIN, Use.LOGITS);

    static List<String> families() {
        return FAMILIES;
    }

    static Stream<Arguments> adapters() {
        return FAMILIES.stream().flatMap(f -> Stream.of(Arguments.of(f, "oft"), Arguments.of(f, "lora")));
    }

    static Stream<Arguments> onTheDevice() {
        return adapters().filter(a -> TestDevice.takes((String) a.get()[0]));
    }

    private static Path folder(String family) {
        return Golden.path("families2/" + family + "/config.json").getParent();
    }

    /// A model with one of its adapters, and the values they must give.
    private record Case(Transformer model, Adapter adapter, SafeTensors golden, Batch batch, int[] mask)
            implements AutoCloseable {
        static Case open(String family, String method) {
            Path folder = folder(family);
            Transformer model = load(family);
            Adapter adapter = Adapter.read(folder.resolve("adapter_" + method), model);
            SafeTensors golden = SafeTensors.open(folder.resolve("reference_" + method + ".safetensors"));
            int B = Math.toIntExact(golden.info("input_ids").shape().get(0));
            int T = Math.toIntExact(golden.info("input_ids").shape().get(1));
            int[] labels = ints(golden, "labels");
            int[] shifted = new int[labels.length];
            for (int i = 0; i < shifted.length; i++)
                shifted[i] = i % T == T - 1 ? -100 : labels[i + 1];
            // padding is on the right, where a causal model's other tokens do not see it
            return new Case(model, adapter, golden, Batch.rows(B, T, ints(golden, "input_ids"), shifted),
                    ints(golden, "attention_mask"));
        }

        private static int[] ints(SafeTensors file, String name) {
            return Arrays.stream(file.i64(name)).mapToInt(Math::toIntExact).toArray();
        }

        int V() {
            return model.config().vocabSize();
        }

        @Override
        public void close() {
            golden.close();
        }
    }

    private static Transformer load(String family) {
        try (ModelDir dir = ModelDir.open(folder(family))) {
            assertThat(dir.warnings()).isEmpty();
            return Transformer.load(dir);
        }
    }

    @ParameterizedTest
    @MethodSource("adapters")
    void agreesInDouble(String family, String method) {
        try (Case c = Case.open(family, method);
                SafeTensors exact = SafeTensors.open(folder(family).resolve("double_" + method + ".safetensors"))) {
            c.model.attach(c.adapter);
            Batch b = c.batch;
            DoubleBackend ref = new DoubleBackend(c.model.config());
            try (TrainSession s = new TrainSession(c.model, ref, List.of(b.shape()), false, ALL)) {
                s.logits(b, new float[b.ids().length * c.V()]);
                String at = " " + b.B() + "x" + b.T();
                double[] logits = ref.read("logits" + at);
                double[] loss = {Arrays.stream(ref.read("row loss" + at)).sum() / b.trained()};
                near("logits", logits, exact.f64("logits"), c.mask, c.V(), F64);
                near("transformers' logits", logits, c.golden.f64("logits.f64"), c.mask, c.V(), TRANSFORMERS_F64);
                near("loss", loss, exact.f64("loss"), null, 1, F64);
                s.microBatch(b, 1f / b.trained());
                double[] grads = ref.read("grads");
                int o = 0;
                for (Tensor t : s.tensors()) {
                    String name = "grad/base_model.model." + t.name();
                    double[] g = Arrays.copyOfRange(grads, o, o + t.size());
                    near(t.name(), g, exact.f64(name), null, 1, F64);
                    near("PEFT's " + t.name(), g, c.golden.f64(name + ".f64"), null, 1, TRANSFORMERS_F64);
                    o += t.size();
                }
                assertThat(o).isEqualTo(grads.length);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("adapters")
    void agreesOnTheCpu(String family, String method) {
        for (SimdChoice simd : List.of(SimdChoice.VECTOR, SimdChoice.SCALAR))
            try (Case c = Case.open(family, method)) {
                agrees(c, new CpuBackend(2, simd));
            }
    }

    @ParameterizedTest
    @MethodSource("onTheDevice")
    void agreesThroughTaskGraphs(String family, String method) {
        try (Case c = Case.open(family, method)) {
            agrees(c, TestDevice.open());
        }
    }

    private static void agrees(Case c, Backend backend) {
        c.model.attach(c.adapter);
        Batch b = c.batch;
        float[] logits = new float[b.ids().length * c.V()];
        try (TrainSession s = new TrainSession(c.model, backend, List.of(b.shape()), false, ALL)) {
            double loss = s.logits(b, logits) / b.trained();
            near("logits", logits, c.golden.f32("logits.f32"), c.mask, c.V());
            near("loss", new float[] {(float) loss}, c.golden.f32("loss.f32"), null, 1);
            s.microBatch(b, 1f / b.trained());
            s.gradients().forEach((t, g) -> near(t.name(), g,
                    c.golden.f32("grad/base_model.model." + t.name() + ".f32"), null, 1));
        }
    }

    /// Fed one by one, or as a prompt, tokens give the logits of the whole row.
    @ParameterizedTest
    @MethodSource("families")
    void decodesLikeTheWholeRow(String family) {
        try (Case c = Case.open(family, "oft")) {
            c.model.attach(c.adapter);
            int T = c.batch.T();
            int[] ids = Arrays.copyOf(c.batch.ids(), T);
            try (Decoder d = new Decoder(c.model, new CpuBackend(1), T)) {
                for (int t = 0; t < T; t++)
                    near("token " + t, d.next(ids[t]), after(c.model, ids, t + 1), null, 1);
                // LongRoPE changes its frequencies on the way back, too
                d.rewind(3);
                near("rewound", d.next(ids[3]), after(c.model, ids, 4), null, 1);
                d.reset();
                near("prompt", d.next(ids), after(c.model, ids, T), null, 1);
            }
        }
    }

    /// Logits after the first n tokens, which are a row of their own: the length of a row may choose its frequencies.
    private static float[] after(Transformer model, int[] ids, int n) {
        int V = model.config().vocabSize();
        return Arrays.copyOfRange(logits(model, Batch.rows(1, n, Arrays.copyOf(ids, n), new int[n])), (n - 1) * V,
                n * V);
    }

    @ParameterizedTest
    @MethodSource("adapters")
    void mergedWeightsGiveTheAdaptersLogits(String family, String method) {
        try (Case c = Case.open(family, method)) {
            c.model.attach(c.adapter);
            Transformer merged = load(family);
            for (String name : Merge.changed(c.model))
                merged.replace(name, Merge.weight(c.model, new CpuBackend(1), name));
            float[] got = logits(merged, c.batch);
            near("merged logits", got, c.golden.f32("logits.f32"), c.mask, c.V());
            assertThat(logits(load(family), c.batch)).isNotEqualTo(got);
        }
    }

    private static float[] logits(Transformer model, Batch b) {
        float[] out = new float[b.ids().length * model.config().vocabSize()];
        try (TrainSession s = new TrainSession(model, new CpuBackend(2), List.of(b.shape()), false,
                Set.of(Use.LOGITS))) {
            s.logits(b, out);
        }
        return out;
    }

    /// In a session for longer rows too, a short batch has the frequencies of its own length.
    @ParameterizedTest
    @MethodSource("families")
    void logitsDoNotDependOnTheSessionsOtherShapes(String family) {
        try (Case c = Case.open(family, "oft")) {
            int[] ids = Arrays.copyOf(c.batch.ids(), 5);
            Batch five = Batch.rows(1, 5, ids, new int[5]);
            float[] alone = logits(c.model, five);
            float[] out = new float[alone.length];
            try (TrainSession s = new TrainSession(c.model, new CpuBackend(2),
                    List.of(five.shape(), new BatchShape(1, 12)), false, Set.of(Use.LOGITS))) {
                s.logits(five, out);
            }
            assertThat(out).isEqualTo(alone);
        }
    }

    /// Full fine-tuning: in double, the gradient of every weight against the loss's own slope.
    @ParameterizedTest
    @MethodSource("families")
    void theGradientOfEveryWeightIsTheSlopeOfTheLoss(String family) {
        try (Case c = Case.open(family, "oft")) {
            Batch b = c.batch;
            DoubleBackend ref = new DoubleBackend(c.model.config());
            try (TrainSession s = new TrainSession(c.model, ref, List.of(b.shape()), true, Set.of(Use.TRAIN))) {
                s.microBatch(b, 1f / b.trained());
                double[] grads = ref.read("grads");
                double[] params = ref.read("params");
                int o = 0;
                for (Tensor t : s.tensors()) {
                    int at = o;
                    for (int i = o; i < o + t.size(); i++)
                        if (Math.abs(grads[i]) > Math.abs(grads[at]))
                            at = i;
                    double x = params[at];
                    double h = 1e-5 * Math.max(1, Math.abs(x));
                    double slope = (loss(s, ref, b, params, at, x + h) - loss(s, ref, b, params, at, x - h)) / (2 * h);
                    loss(s, ref, b, params, at, x);
                    assertThat(grads[at]).as(t.name()).isNotZero();
                    // the bias of keys that are not rotated adds the same to all scores of a query: its slope is 0
                    assertThat(Math.abs(grads[at] - slope)).as(t.name()).isLessThan(1e-6 * Math.abs(slope) + 1e-9);
                    o += t.size();
                }
            }
        }
    }

    private static double loss(TrainSession s, DoubleBackend ref, Batch b, double[] params, int at, double value) {
        params[at] = value;
        ref.session.writeDouble(ref.buf("params"), params);
        s.microBatch(b, 1f / b.trained());
        return Arrays.stream(ref.read("row loss " + b.B() + "x" + b.T())).sum() / b.trained();
    }

    @ParameterizedTest
    @MethodSource("families")
    void checkpointingGivesTheSameGradientsWithLessMemory(String family) {
        checkpointing(family, true);
        checkpointing(family, false);
    }

    private static void checkpointing(String family, boolean full) {
        List<float[]> plain = null;
        long bytes = 0;
        for (Set<Use> uses : List.of(Set.of(Use.TRAIN), Set.of(Use.TRAIN, Use.GRADIENT_CHECKPOINTING)))
            try (Case c = Case.open(family, "oft")) {
                if (!full)
                    c.model.attach(c.adapter);
                try (TrainSession s = new TrainSession(c.model, new CpuBackend(2), List.of(c.batch.shape()), full,
                        uses)) {
                    s.microBatch(c.batch, 0.1f);
                    List<float[]> gradients = List.copyOf(s.gradients().values());
                    long activations = s.bytesByRole().get(Buf.Role.ACTIVATION);
                    if (plain == null) {
                        plain = gradients;
                        bytes = activations;
                    } else {
                        for (int i = 0; i < plain.size(); i++)
                            assertThat(gradients.get(i)).isEqualTo(plain.get(i));
                        assertThat(activations).isLessThan(bytes);
                    }
                }
            }
    }

    @ParameterizedTest
    @MethodSource("families")
    void aPlanIsWhatASessionTakes(String family) {
        Set<Use> uses = Set.of(Use.TRAIN, Use.EVALUATE);
        List<BatchShape> shapes = List.of(new BatchShape(2, 8));
        for (Storage storage : Storage.values())
            for (var spec : List.of(Oft.of(Targets.allLinear(), 8), Lora.of(Targets.allLinear(), 4)))
                try (ModelDir files = ModelDir.open(folder(family))) {
                    Transformer model = Transformer.load(files, storage);
                    model.attach(Adapter.create(spec, model, 1));
                    PlannedModel planned = PlannedModel.of(files, storage);
                    StepPlan plan = planned.plan(planned.adapter(spec), shapes, uses, 1);
                    try (TrainSession s = new TrainSession(model, new CpuBackend(1), shapes, false, uses)) {
                        assertThat(plan.memory().bytesByRole()).isEqualTo(s.bytesByRole());
                        assertThat(plan.flops()).isEqualTo(s.flops());
                    }
                    assertThat(planned.decoderBytes(planned.adapter(spec), 20)).isEqualTo(Decoder.bytes(model, 20));
                    assertThat(planned.parameters()).isEqualTo(model.parameters());
                }
    }

    @ParameterizedTest
    @MethodSource("families")
    void theConfigurationWrittenAgainSaysTheSame(String family, @TempDir Path temp) throws Exception {
        Path file = temp.resolve("config.json");
        var config = HfConfig.read(folder(family).resolve("config.json"));
        Files.writeString(file, Json.pretty(HfConfig.toJson(config)));
        assertThat(HfConfig.read(file)).isEqualTo(config);
    }

    private static void near(String what, float[] got, float[] expected, int[] mask, int width) {
        near(what, widened(got), widened(expected), mask, width, F32);
    }

    private static double[] widened(float[] a) {
        double[] d = new double[a.length];
        for (int i = 0; i < a.length; i++)
            d[i] = a[i];
        return d;
    }

    /// @param mask positions to compare, groups of `width` values each; null for all
    private static void near(String what, double[] got, double[] expected, int[] mask, int width, double tolerance) {
        assertThat(got.length).as(what).isEqualTo(expected.length);
        double top = 0;
        for (double e : expected)
            top = Math.max(top, Math.abs(e));
        for (int i = 0; i < got.length; i++)
            if ((mask == null || mask[i / width] != 0) && !(Math.abs(got[i] - expected[i]) <= tolerance * top))
                throw new AssertionError(what + "[" + i + "]: got " + got[i] + ", expected " + expected[i]
                        + ", allowed " + tolerance + " of " + top);
    }
}
