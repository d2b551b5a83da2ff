package dev.gyre.model.task;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.cpu.SimdChoice;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.DoubleBackend;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.transformer.TestDevice;
import dev.gyre.model.weights.Storage;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Bodies with heads against transformers and PEFT (`golden/tasks/README.md`): logits, loss and the gradient of every
/// adapter tensor. Deviations are relative to each tensor's largest value.
class GoldenTasksTest {
    private static final double F32 = 2e-4;
    private static final Set<Use> ALL = Set.of(Use.TRAIN, Use.EVALUATE, Use.LOGITS);

    static Stream<String> models() {
        return Stream.of("bert-3way", "bert-regression", "bert-multilabel", "roberta-3way", "modernbert-3way",
                "deberta-v3-3way", "vit-5way", "bert-tokens", "bert-embedding", "bert-two-numbers", "distilbert-4way",
                "deberta-own-projections", "deberta-c2p-tokens", "deberta-conv-3way", "modernbert-tokens",
                "modernbert-cls",
                "vit-interpolated", "vit-cropped", "deit-3way", "llama-3way", "qwen2-left", "llama-tokens");
    }

    static Stream<String> onTheDevice() {
        return models().filter(TestDevice::takes);
    }

    /// How far double may be from transformers' double: it computes rotary tables, and the softmax of ViT and the buckets'
    /// scale of DeBERTa, in single precision.
    private static double f64(String model) {
        return List.of("bert-tokens", "bert-embedding").contains(model) ? 1e-7
                : model.startsWith("bert") || model.startsWith("roberta") ? 1e-9
                : model.equals("vit-cropped") ? 2e-6 : 1e-6;
    }

    /// @param count labels that count
    private record Case(TaskModel model, SafeTensors golden, TaskBatch batch, int count) implements AutoCloseable {
        static Case open(String name, String method) {
            Path folder = Golden.path("tasks/" + name + "/config.json").getParent();
            TaskModel model;
            // the file does not say what is predicted; transformers takes it from the labels
            try (TaskDir dir = name.equals("modernbert-cls") ? TaskDir.open(folder, Problem.LABELS)
                    : TaskDir.open(folder)) {
                assertThat(dir.warnings()).isEmpty();
                model = TaskModel.load(dir, Storage.AS_STORED, 0);
            }
            Adapter adapter = Adapter.read(folder.resolve("adapter_" + method), model);
            model.attach(method, adapter);
            SafeTensors golden = SafeTensors.open(folder.resolve("reference_" + method + ".safetensors"));
            TaskBatch b = batch(model.config(), golden);
            return new Case(model, golden, b, b.counted(b.B()));
        }

        private static TaskBatch batch(TaskConfig c, SafeTensors golden) {
            TaskBatch b;
            if (c.images()) {
                int B = Math.toIntExact(golden.info("pixel_values").shape().getFirst());
                Image i = (Image) ((TaskConfig.OfEncoder) c).encoder().input();
                b = TaskBatch.images(B, i.tokens(size(golden, 2), size(golden, 3)), golden.f32("pixel_values"));
            } else {
                int B = Math.toIntExact(golden.info("input_ids").shape().get(0));
                int T = Math.toIntExact(golden.info("input_ids").shape().get(1));
                int[] mask = ints(golden, "attention_mask");
                int[] from = new int[B];
                int[] to = new int[B];
                for (int r = 0; r < B; r++) {
                    while (mask[r * T + from[r]] == 0)
                        from[r]++;
                    to[r] = from[r];
                    while (to[r] < T && mask[r * T + to[r]] == 1)
                        to[r]++;
                }
                b = TaskBatch.text(B, T, ints(golden, "input_ids"), golden.contains("token_type_ids")
                        ? ints(golden, "token_type_ids") : new int[B * T], from, to);
            }
            return c.head().problem() == Problem.CLASSES ? b.labelled(ints(golden, "labels"))
                    : c.head().problem() == Problem.EMBEDDING ? b : b.aimedAt(golden.f32("labels"));
        }

        private static int size(SafeTensors golden, int dim) {
            return Math.toIntExact(golden.info("pixel_values").shape().get(dim));
        }

        private static int[] ints(SafeTensors file, String name) {
            return Arrays.stream(file.i64(name)).mapToInt(Math::toIntExact).toArray();
        }

        /// Logits of padding are not compared.
        double[] visible(double[] logits) {
            if (model.config().head().pooling() != Pooling.TOKENS)
                return logits;
            int V = model.config().head().outputs();
            double[] out = new double[logits.length];
            for (int i = 0; i < logits.length; i++) {
                int row = i / V;
                int t = row % batch.T();
                boolean padding = t < batch.from()[row / batch.T()] || t >= batch.to()[row / batch.T()];
                out[i] = padding ? 0 : logits[i];
            }
            return out;
        }

        boolean embeds() {
            return model.config().head().problem() == Problem.EMBEDDING;
        }

        TaskShape shape() {
            return model.config().images() ? new TaskShape(batch.B(), batch.T(), size(golden, 2), size(golden, 3))
                    : TaskShape.text(batch.B(), batch.T());
        }

        @Override
        public void close() {
            golden.close();
        }
    }

    private static String gradient(Adapter a, Tensor t) {
        return "grad/base_model.model." + a.nameInFile(t);
    }

    /// Without those in which transformers, in double, makes NaN of tokens that see nothing but padding.
    static Stream<String> doubles() {
        return models().filter(m -> !Set.of("modernbert-tokens", "modernbert-cls", "qwen2-left").contains(m));
    }

    @ParameterizedTest
    @MethodSource("doubles")
    void agreesInDouble(String name) {
        for (String method : List.of("oft", "lora"))
            try (Case c = Case.open(name, method)) {
                DoubleBackend ref = new DoubleBackend();
                try (TaskSession s = new TaskSession(c.model, ref, List.of(c.shape()), false, ALL, 0)) {
                    s.logits(c.batch);
                    near("logits", c.visible(ref.read("logits " + c.shape())),
                            c.visible(c.golden.f64("logits.f64")), f64(name));
                    if (c.embeds())
                        continue;
                    s.microBatch(c.batch, 1f / c.count);
                    double loss = Arrays.stream(ref.read("row loss " + c.shape())).sum() / c.count;
                    // DeBERTa's loss is computed and stored in single precision
                    boolean single = c.golden.info("loss.f64").type() == TensorType.F32;
                    near("loss", new double[] {loss},
                            single ? widened(c.golden.f32("loss.f64")) : c.golden.f64("loss.f64"), f64(name));
                    double[] grads = ref.read("grads");
                    int at = 0;
                    Adapter a = c.model.adapters().getFirst();
                    for (Tensor t : s.tensors()) {
                        near(t.name(), Arrays.copyOfRange(grads, at, at + t.size()),
                                c.golden.f64(gradient(a, t) + ".f64"), f64(name));
                        at += t.size();
                    }
                    assertThat(at).isEqualTo(grads.length);
                }
            }
    }

    @ParameterizedTest
    @MethodSource("models")
    void agreesOnTheCpu(String name) {
        for (String method : List.of("oft", "lora"))
            for (SimdChoice simd : List.of(SimdChoice.VECTOR, SimdChoice.SCALAR))
                agrees(name, method, new CpuBackend(2, simd));
    }

    @ParameterizedTest
    @MethodSource("onTheDevice")
    void agreesThroughTaskGraphs(String name) {
        for (String method : List.of("oft", "lora"))
            agrees(name, method, TestDevice.open());
    }

    private static void agrees(String name, String method, Backend backend) {
        try (Case c = Case.open(name, method);
                TaskSession s = new TaskSession(c.model, backend, List.of(c.shape()), false, ALL, 0)) {
            near("logits", c.visible(widened(s.logits(c.batch))), c.visible(widened(c.golden.f32("logits.f32"))), F32);
            if (c.embeds())
                return;
            double sum = s.evaluate(c.batch);
            near("loss", new double[] {sum / c.count}, widened(c.golden.f32("loss.f32")), F32);
            assertThat(s.microBatch(c.batch, 1f / c.count)).isEqualTo(sum);
            Adapter a = c.model.adapters().getFirst();
            assertThat(s.gradients()).isNotEmpty();
            s.gradients().forEach((t, g) -> near(t.name(), widened(g), widened(c.golden.f32(gradient(a, t) + ".f32")),
                    F32));
        }
    }

    /// The convolution of DeBERTa-v2 xlarge is trained as well where all weights are, and passes gradients on to the embedding.
    @Test
    void allWeightsOfAConvolutionAreTrained() {
        Path folder = Golden.path("tasks/deberta-conv-3way/config.json").getParent();
        try (Case c = Case.open("deberta-conv-3way", "lora");
                TaskDir dir = TaskDir.open(folder);
                SafeTensors golden = SafeTensors.open(folder.resolve("reference_full.safetensors"))) {
            TaskModel whole = TaskModel.load(dir, Storage.AS_STORED, 0);
            for (Backend backend : List.of(new CpuBackend(2), TestDevice.open()))
                for (Set<Use> uses : List.of(ALL, Set.of(Use.TRAIN, Use.GRADIENT_CHECKPOINTING)))
                    try (TaskSession s = new TaskSession(whole, backend, List.of(c.shape()), true, uses, 0)) {
                        s.microBatch(c.batch, 1f / c.count);
                        Set<String> seen = new TreeSet<>();
                        s.gradients().forEach((t, g) -> {
                            if (golden.contains("grad/" + t.name())) {
                                near(t.name(), widened(g), widened(golden.f32("grad/" + t.name())), F32);
                                seen.add("grad/" + t.name());
                            }
                        });
                        assertThat(seen).hasSize(7).containsAll(golden.names());
                    }
        }
    }

    /// More padding behind the tokens, whatever its ids: the same logits of the tokens, losses and gradients.
    @ParameterizedTest
    @MethodSource("models")
    void paddingChangesNothing(String name) {
        try (Case c = Case.open(name, "lora")) {
            if (c.model.config().images() || c.embeds())
                return;
            TaskBatch b = c.batch;
            int T = b.T() + 5;
            TaskBatch wide = new TaskBatch(b.B(), T, padded(b, b.ids(), c.model.config().pad()),
                    padded(b, b.types(), 0), b.from(), b.to(), b.pixels(), b.labels().length == b.B() ? b.labels()
                            : padded(b, b.labels(), Batch.IGNORE),
                    b.targets());
            List<List<float[]>> results = new ArrayList<>();
            for (TaskBatch batch : List.of(b, wide))
                try (TaskSession s = new TaskSession(c.model, new CpuBackend(2),
                        List.of(TaskShape.text(batch.B(), batch.T())), false, ALL, 0)) {
                            List<float[]> all = new ArrayList<>();
                            float[] logits = s.logits(batch);
                            int V = c.model.config().head().outputs();
                            if (logits.length > b.B() * V)
                                for (int r = 0; r < b.B(); r++)
                                    all.add(Arrays.copyOfRange(logits, (r * batch.T() + b.from()[r]) * V,
                                            (r * batch.T() + b.to()[r]) * V));
                            else
                                all.add(logits);
                            all.add(new float[] {(float) s.microBatch(batch, 1f / c.count)});
                            all.addAll(s.gradients().values());
                            results.add(all);
                        }
            // products of more rows add in another order
            for (int i = 0; i < results.get(0).size(); i++)
                near("result " + i, widened(results.get(1).get(i)), widened(results.get(0).get(i)), 5e-6);
        }
    }

    private static int[] padded(TaskBatch b, int[] of, int with) {
        int T = b.T() + 5;
        int[] out = new int[of.length == 0 ? 0 : b.B() * T];
        Arrays.fill(out, with);
        for (int r = 0; r < b.B() && of.length > 0; r++)
            System.arraycopy(of, r * b.T(), out, r * T, b.T());
        return out;
    }

    private static double[] widened(float[] a) {
        double[] d = new double[a.length];
        for (int i = 0; i < a.length; i++)
            d[i] = a[i];
        return d;
    }

    private static void near(String what, double[] got, double[] expected, double tolerance) {
        assertThat(got.length).as(what).isEqualTo(expected.length);
        double top = 0;
        for (double e : expected)
            top = Math.max(top, Math.abs(e));
        for (int i = 0; i < got.length; i++)
            if (!(Math.abs(got[i] - expected[i]) <= tolerance * top))
                throw new AssertionError(what + "[" + i + "]: got " + got[i] + ", expected " + expected[i]
                        + ", allowed " + tolerance + " of " + top);
    }
}
