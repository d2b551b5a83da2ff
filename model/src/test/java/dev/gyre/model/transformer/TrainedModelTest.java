package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.cpu.SimdChoice;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.adapter.psoft.Psoft;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/// A small model that was really trained (`golden/stories260k/README.md`) against transformers.
class TrainedModelTest {
    private static final int T = 96;
    private static final int V = 512;
    /// Of the largest logit; transformers in single precision is 2.3e-6 away from itself in double.
    private static final double TOLERANCE = 1e-5;

    private static Transformer model() {
        try (ModelDir dir = ModelDir.open(Golden.path("stories260k/config.json").getParent())) {
            return Transformer.load(dir);
        }
    }

    private static int[] ids() {
        try (SafeTensors golden = SafeTensors.open(Golden.path("stories260k/reference.safetensors"))) {
            return Arrays.stream(golden.i64("input_ids")).mapToInt(Math::toIntExact).toArray();
        }
    }

    private static double[] expected() {
        try (SafeTensors golden = SafeTensors.open(Golden.path("stories260k/reference.safetensors"))) {
            return golden.f64("logits");
        }
    }

    /// All four rows, each token's label the next one.
    private static Batch batch() {
        int[] ids = ids();
        int[] labels = new int[ids.length];
        for (int i = 0; i < labels.length; i++)
            labels[i] = i % T == T - 1 ? Batch.IGNORE : ids[i + 1];
        return Batch.rows(4, T, ids, labels);
    }

    private static float[] logits(Transformer model, Backend backend, double loss) {
        Batch b = batch();
        float[] out = new float[4 * T * V];
        try (TrainSession s = new TrainSession(model, backend, List.of(b.shape()), false,
                Set.of(TrainSession.Use.LOGITS))) {
            double mean = s.logits(b, out) / b.trained();
            assertThat(Math.abs(mean - loss)).isLessThan(5e-5);
        }
        return out;
    }

    private static void near(String what, float[] got) {
        double[] expected = expected();
        double top = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        for (int row = 0; row < 2; row++)
            for (int i = 0; i < T * V; i++) {
                double e = expected[row * T * V + i];
                double g = got[2 * row * T * V + i];
                if (!(Math.abs(g - e) <= TOLERANCE * top))
                    throw new AssertionError(what + ": row " + row + ", value " + i + " is " + g + ", expected " + e);
            }
    }

    @Test
    void logitsAndLossAreTransformers() {
        for (Backend b : List.of(new CpuBackend(2, SimdChoice.VECTOR), new CpuBackend(1, SimdChoice.SCALAR),
                TestDevice.open()))
            near(b.name(), logits(model(), b, 0.7342));
    }

    @Test
    void aGreedyContinuationIsTransformers() {
        Transformer model = model();
        int[] ids = ids();
        Sampler greedy = Sampler.greedy(V);
        try (Decoder d = new Decoder(model, new CpuBackend(1), T)) {
            for (int row = 0; row < 4; row++) {
                int[] prompt = Arrays.copyOfRange(ids, row * T, row * T + 2);
                assertThat(Generator.run(d, prompt, T - 2, List.of(), greedy, _ -> true))
                        .isEqualTo(Arrays.copyOfRange(ids, row * T + 2, (row + 1) * T));
            }
        }
    }

    /// Also the methods that cut a trained weight apart by its singular values, and put it together again.
    @Test
    void everyFreshAdapterLeavesATrainedModelAsItIs() {
        Backend cpu = new CpuBackend(2);
        Targets all = Targets.allLinear();
        for (AdapterOptions spec : List.of(Oft.of(all, 8), Oft.of(all, 16).with(Oft.Cayley.EXACT, 5), Psoft.of(all, 8),
                new Goft(true, all), new Qgoft(0.01, all), new Boft(4, null, 1, 0, true, all),
                new Hra(4, false, true, all), Lora.of(all, 4))) {
            Transformer model = model();
            model.attach(Adapter.create(spec, model, 2, new BaseWeights(model, cpu, (m, c, r, g) -> {
            })));
            near(spec.toString(), logits(model, cpu, 0.7342));
        }
    }
}
