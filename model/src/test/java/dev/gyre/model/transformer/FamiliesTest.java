package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.RopeScaling;
import dev.gyre.model.family.RopeTable;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Llama, Mistral, Qwen2 and Qwen3 with their biases, windows, norms and rotary scalings against transformers and PEFT.
class FamiliesTest {
    private static final Path FAMILIES = Path.of("src/test/resources/golden/families");
    /// Float32 on both sides: 2e-4 of the tensor's maximum is allowed.
    private static final double TOLERANCE = 2e-4;

    @ParameterizedTest
    @ValueSource(strings = {"llama-bias-llama3", "llama-yarn-tied", "llama-dynamic", "mistral-window",
        "qwen2-mixed-window", "qwen3"})
    void agreesWithTransformersAndPeft(String name) {
        Backend cpu = new CpuBackend(2);
        try (SafeTensors golden = SafeTensors.open(FAMILIES.resolve(name).resolve("reference.safetensors"));
                ModelDir dir = ModelDir.open(FAMILIES.resolve(name))) {
            Transformer model = Transformer.load(dir);
            int B = 2;
            int T = 12;
            int V = model.config().vocabSize();
            int[] ids = ints(golden.i64("input_ids"));
            int[] labels = shifted(golden.i64("labels"), T);
            Batch whole = Batch.rows(B, T, ids, labels);
            int[] mask = ints(golden.i64("attention_mask"));
            int[] start = new int[B * T];
            for (int i = 0; i < start.length; i++) {
                int row = i / T * T;
                int first = 0;
                while (mask[row + first] == 0)
                    first++;
                start[i] = Math.min(first, i % T);
            }
            Batch padded = new Batch(B, T, ids, labels, whole.positions(), start);
            float[] logits = new float[B * T * V];
            Set<TrainSession.Use> all = Set.of(TrainSession.Use.TRAIN, TrainSession.Use.LOGITS);
            try (TrainSession s = new TrainSession(model, cpu, List.of(whole.shape()), false,
                    Set.of(TrainSession.Use.LOGITS))) {
                double loss = s.logits(whole, logits) / whole.trained();
                near("base logits", logits, golden.f32("base.logits"), null, V);
                near("base loss", new float[] {(float) loss}, golden.f32("base.loss"), null, 1);
                loss = s.logits(padded, logits) / whole.trained();
                near("masked logits", logits, golden.f32("masked.logits"), mask, V);
                near("masked loss", new float[] {(float) loss}, golden.f32("masked.loss"), null, 1);
            }
            Adapter adapter = Adapter.read(FAMILIES.resolve(name).resolve("adapter_oft"), model);
            model.attach(adapter);
            try (TrainSession s = new TrainSession(model, cpu, List.of(whole.shape()), false, all)) {
                double loss = s.logits(whole, logits) / whole.trained();
                near("oft logits", logits, golden.f32("oft.logits"), null, V);
                near("oft loss", new float[] {(float) loss}, golden.f32("oft.loss"), null, 1);
                s.microBatch(whole, 1f / whole.trained());
                assertThat(s.gradients()).hasSize(14);
                for (Map.Entry<Tensor, float[]> g : s.gradients().entrySet())
                    near(g.getKey().name(), g.getValue(), golden.f32("grad/base_model.model." + g.getKey().name()),
                            null, 1);
            }
            decodesLikeTheWholeRow(model, cpu, ids, T, V, logits);
        }
    }

    /// Generation with caches gives what the whole row gives, for every method.
    @ParameterizedTest
    @ValueSource(strings = {"llama-bias-llama3", "llama-yarn-tied", "mistral-window", "qwen2-mixed-window", "qwen3",
        "../families2/olmo2", "../families2/gemma2", "../families2/gemma3-text", "../families2/granite",
        "../families2/phi3", "../families2/smollm3-window"})
    void everyMethodDecodesLikeTheWholeRow(String name) {
        Backend cpu = new CpuBackend(2);
        int T = 12;
        try (ModelDir dir = ModelDir.open(FAMILIES.resolve(name))) {
            for (AdapterOptions spec : MethodsOnDevicesTest.methods()) {
                Transformer model = Transformer.load(dir);
                Adapter a = Adapter.create(spec, model, 2, new BaseWeights(model, cpu, (m, c, r, g) -> {
                }));
                Random random = new Random(8);
                for (Tensor t : a.tensors())
                    for (int i = 0; i < t.size(); i++)
                        t.values()[i] += (float) (0.1 * random.nextGaussian());
                Batch row = row(T);
                float[] base = rowLogits(model, row, List.of(row.shape()));
                model.attach(a);
                float[] logits = rowLogits(model, row, List.of(row.shape()));
                assertThat(logits).as(spec.toString()).isNotEqualTo(base);
                decodesLikeTheWholeRow(model, cpu, row.ids(), T, model.config().vocabSize(), logits);
            }
        }
    }

    /// Rotary frequencies of dynamic scaling follow the length of each batch, not the longest of the session.
    @Test
    void dynamicScalingLooksAtTheLengthOfTheBatch() {
        ModelConfig c = ModelConfig.llama(20, 16, 24, 1, 2, 1, 4, false, null, List.of(), null);
        ModelConfig dynamic = new ModelConfig(c.family(), c.shape(), c.attention(),
                new ModelConfig.Positions(4, new ModelConfig.Rotary(10000, new RopeScaling.Dynamic(2)), List.of(0)),
                c.mlp(), c.norms(),
                c.tokens(), c.stored());
        Transformer model = Transformer.random(dynamic, 3);
        for (String name : List.copyOf(model.weights().keySet())) { // far from uniform attention
            float[] w = model.values(name);
            for (int i = 0; i < w.length; i++)
                w[i] *= 20;
            model.replace(name, w);
        }
        Batch six = row(6);
        float[] alone = rowLogits(model, six, List.of(six.shape()));
        assertThat(rowLogits(model, six, List.of(six.shape(), new BatchShape(1, 12)))).containsExactly(alone);
        ModelConfig.Rotary rotary = dynamic.positions().rotaries().getFirst();
        assertThat(RopeTable.cos(dynamic, rotary, 12)[5 * 4 + 1])
                .isNotEqualTo(RopeTable.cos(dynamic, rotary, 6)[5 * 4 + 1]);
    }

    private static Batch row(int T) {
        int[] ids = new int[T];
        Arrays.setAll(ids, i -> (7 * i + 3) % 20);
        int[] labels = new int[T];
        Arrays.fill(labels, Batch.IGNORE);
        return Batch.rows(1, T, ids, labels);
    }

    private static float[] rowLogits(Transformer model, Batch b, List<BatchShape> shapes) {
        float[] out = new float[b.ids().length * model.config().vocabSize()];
        try (TrainSession s = new TrainSession(model, new CpuBackend(1), shapes, false,
                Set.of(TrainSession.Use.LOGITS))) {
            s.logits(b, out);
        }
        return out;
    }

    /// Feeding tokens one by one, or a prompt at once, gives the logits of the whole row.
    private static void decodesLikeTheWholeRow(Transformer model, Backend cpu, int[] ids, int T, int V,
            float[] logits) {
        try (Decoder d = new Decoder(model, cpu, T)) {
            for (int t = 0; t < T; t++)
                near("token " + t, d.next(ids[t]), Arrays.copyOfRange(logits, t * V, (t + 1) * V), null, 1);
            d.reset();
            near("prompt", d.next(Arrays.copyOf(ids, T)), Arrays.copyOfRange(logits, (T - 1) * V, T * V), null, 1);
        }
    }

    private static int[] ints(long[] a) {
        return Arrays.stream(a).mapToInt(Math::toIntExact).toArray();
    }

    private static int[] shifted(long[] labels, int T) {
        int[] out = new int[labels.length];
        for (int i = 0; i < out.length; i++)
            out[i] = i % T == T - 1 ? Batch.IGNORE : Math.toIntExact(labels[i + 1]);
        return out;
    }

    /// @param mask positions to compare (groups of `width` numbers), null for all
    private static void near(String what, float[] got, float[] expected, int[] mask, int width) {
        assertThat(got.length).as(what).isEqualTo(expected.length);
        double top = 0;
        for (float e : expected)
            top = Math.max(top, Math.abs(e));
        for (int i = 0; i < got.length; i++)
            if ((mask == null || mask[i / width] != 0) && !(Math.abs(got[i] - expected[i]) <= TOLERANCE * top))
                throw new AssertionError(what + "[" + i + "]: got " + got[i] + ", expected " + expected[i]);
    }
}
